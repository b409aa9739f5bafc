// A caller and a provider of the same protocol get each other's words: a stream
// that goes through OneMind is the provider's stream, event by event.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { providerKey } from "../upstream.mjs";
import { Server, toolSchema } from "./server.mjs";

let server, key;

before(async () => {
  server = await Server.start();
  key = server.keyOf("sdk@example.org", 1000);
});

after(() => server?.stop());

const text = "Say something.";
const requests = {
  openai: (model, tools) => ({
    path: "/v1/chat/completions",
    body: {
      model,
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: "user", content: text }],
      ...(tools && { tools: [{ type: "function", function: { name: "look_up", parameters: toolSchema } }] }),
    },
  }),
  anthropic: (model, tools) => ({
    path: "/v1/messages",
    body: {
      model,
      stream: true,
      max_tokens: 500,
      messages: [{ role: "user", content: text }],
      ...(tools && { tools: [{ name: "look_up", input_schema: toolSchema }] }),
    },
  }),
  gemini: (model, tools) => ({
    path: `/v1beta/models/${model}:streamGenerateContent?alt=sse`,
    body: {
      contents: [{ role: "user", parts: [{ text }] }],
      ...(tools && { tools: [{ functionDeclarations: [{ name: "look_up", parametersJsonSchema: toolSchema }] }] }),
    },
  }),
};

/** The events of a stream, each as its type and its data. */
async function eventsOf(origin, secret, { path, body }) {
  const headers = { "Content-Type": "application/json", "anthropic-version": "2023-06-01", Authorization: `Bearer ${secret}`, "x-api-key": secret, "x-goog-api-key": secret };
  const response = await fetch(origin + path, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  return (await response.text()).replaceAll("\r\n", "\n").split("\n\n").filter((event) => event && !event.startsWith(":"));
}

/** What may differ: names and numbers of one call, and what we add. */
function plain(event) {
  const [type, data] = event.startsWith("event: ") ? event.split("\n") : ["", event];
  if (data === "data: [DONE]") return event;
  const { id, model, created, responseId, modelVersion, onemind, obfuscation, ...rest } = JSON.parse(data.slice("data: ".length));
  if (rest.message) {
    const { id, model, ...message } = rest.message;
    rest.message = message;
  }
  return { type, rest };
}

for (const [protocol, requestOf] of Object.entries(requests)) {
  for (const [what, model, tools] of [
    ["a text", "quick", false],
    ["a thought", "thinker", false],
    ["a tool call", "quick", true],
  ]) {
    test(`${protocol}: the events of ${what} are the provider's`, async () => {
      const theirs = await eventsOf(server.upstream, providerKey, requestOf(model, tools));
      const ours = await eventsOf(server.origin, key, requestOf(`${model}-${protocol}`, tools));
      const receipts = ours.filter((event) => event.includes('"onemind":'));
      assert.equal(receipts.length, 1, "one event has the receipt");
      const passed = ours.filter((event) => !event.includes('"candidates":[]')); // Gemini's way to end has no room: the receipt is an event of its own
      assert.deepEqual(passed.map(plain), theirs.map(plain));
    });
  }
}
