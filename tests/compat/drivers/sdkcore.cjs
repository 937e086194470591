// SPDX-License-Identifier: Apache-2.0
// The official SDK @volcengine/sdk-core, unmodified: signs, retries by itself and throws
// HttpRequestError. Commands are made as its generated packages make them.
const { Client, Command, HttpRequestError, buildRequestConfigFromMetaPath } = require("@volcengine/sdk-core");

const op = JSON.parse(process.argv[2]);

class Call extends Command {
  constructor(input, method, type) {
    super(input);
    this.requestConfig = buildRequestConfigFromMetaPath(
      `/${op.action}/${op.version}/${op.service}/${method}/${type}/`,
    );
    if (method === "post") this.requestConfig.params = { ...this.requestConfig.params, Id: op.id };
  }
}

function command(page) {
  if (op.op === "form") return new Call(op.data, "post", "application_x-www-form-urlencoded");
  if (op.op === "json") return new Call(op.data, "post", "application_json");
  return new Call({ Id: op.id, ...(page ? { PageNumber: String(page) } : {}) }, "get", "text_plain");
}

async function main() {
  const client = new Client({ ...op.sdk, httpOptions: op.timeout ? { timeout: op.timeout * 1000 } : undefined });
  const outcome = { status: 200, body: "", error: null };
  try {
    if (op.pages) {
      const answers = await Promise.all(
        Array.from({ length: op.pages }, (_, i) => client.send(command(i + 1))),
      );
      if (answers.some((a) => !a.Result)) outcome.status = "not all";
    } else {
      outcome.body = JSON.stringify(await client.send(command()));
    }
  } catch (e) {
    outcome.status = e.status ?? null;
    outcome.body = JSON.stringify(e.data ?? null);
    outcome.error = {
      type: e instanceof HttpRequestError ? `HttpRequestError ${e.name}` : e.name,
      code: e.data?.ResponseMetadata?.Error?.Code ?? e.originalError?.code,
      message: e.message,
    };
  }
  process.stdout.write(JSON.stringify(outcome) + "\n");
}

main();
