// SPDX-License-Identifier: Apache-2.0
// Node's own fetch: a burst all at once, over the connections it keeps.
const op = JSON.parse(process.argv[2]);

function answer(outcome) {
  process.stdout.write(JSON.stringify(outcome) + "\n");
}

function ask(url) {
  const headers = { ...op.headers };
  if (op.type) headers["content-type"] = op.type;
  return fetch(url, {
    method: op.method,
    headers,
    body: op.body ?? undefined,
    signal: op.timeout ? AbortSignal.timeout(op.timeout * 1000) : undefined,
  });
}

try {
  if (op.op === "stream") {
    const response = await ask(op.url);
    for await (const chunk of response.body) process.stdout.write(chunk);
  } else if (op.urls) {
    const statuses = new Set(
      await Promise.all(
        op.urls.map(async (url) => {
          const response = await ask(url);
          await response.text();
          return response.status;
        }),
      ),
    );
    answer({ status: statuses.size === 1 ? [...statuses][0] : [...statuses], body: "", error: null });
  } else {
    const response = await ask(op.url);
    const body = await response.text();
    answer({ status: response.status, body, error: response.ok ? null : { type: "!ok" } });
  }
} catch (e) {
  answer({ status: null, body: "", error: { type: e.name, message: String(e.cause ?? e.message) } });
}
