// SPDX-License-Identifier: Apache-2.0
// The official SDK @volcengine/openapi, unmodified: it signs with the keys it is given, sends where
// `host` and `protocol` (or VOLC_PROXY_HOST and VOLC_PROXY_PORT) say, and hands over what came.
const { Service } = require("@volcengine/openapi");
const { MaasService } = require("@volcengine/openapi/lib/services/maas");

const op = JSON.parse(process.argv[2]);
const options = { ...op.sdk, secretKey: op.sdk.secretAccessKey, defaultVersion: op.version };
if (op.sdk.protocol) options.protocol = op.sdk.protocol + ":";

async function stream() {
  const service = new MaasService(options);
  for await (const event of service.StreamChat({ model: { name: op.id }, messages: [] }))
    process.stdout.write(JSON.stringify(event) + "\n");
}

function api(service) {
  if (op.op === "form") return service.createUrlEncodeAPI(op.action, { Version: op.version });
  if (op.op === "json") return service.createJSONAPI(op.action, { Version: op.version });
  return service.createAPI(op.action, { Version: op.version });
}

async function main() {
  if (op.op === "stream") return stream();
  const service = new Service({ ...options, serviceName: op.service });
  const call = api(service);
  const params = op.timeout ? { timeout: op.timeout * 1000 } : {};
  // An API that is not GET takes its query from the parameters.
  if (op.op === "form" || op.op === "json") params.query = { Id: op.id };
  const outcome = { status: 200, body: "", error: null };
  try {
    if (op.pages) {
      const answers = await Promise.all(
        Array.from({ length: op.pages }, (_, i) => call({ Id: op.id, PageNumber: i + 1 }, params)),
      );
      if (answers.some((a) => !a.Result)) outcome.status = "not all";
    } else {
      const data = op.op === "form" || op.op === "json" ? op.data : { Id: op.id };
      const response = await call(data, params);
      outcome.body = JSON.stringify(response);
      const error = response.ResponseMetadata?.Error; // this SDK's way: the caller looks
      if (error) outcome.error = { type: "ResponseMetadata.Error", code: error.Code, message: error.Message };
    }
  } catch (e) {
    outcome.status = null;
    outcome.error = { type: e.code || e.name, message: e.message };
  }
  process.stdout.write(JSON.stringify(outcome) + "\n");
}

main();
