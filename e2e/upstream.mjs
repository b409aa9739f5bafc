// A model provider that speaks the protocols of OpenAI, Anthropic and Gemini and
// does the same thing every time: answers.mjs says how a request is answered, and
// the model's name says with which words and how fast.
//
//   steady  40 words, one every 50 ms
//   slow    400 words, one every 50 ms
//   quick   40 words at once
//   thinker 8 words at once, and a thought before them
//   broken  a failure before the first word
//   busy    too many requests
//   flaky   a failure after half a second each first time; each second time 40
//           words after a second
//
// OpenAI's embeddings, images and transcriptions are answered too. GET /calls
// tells how many calls began, ended and were given up by the caller, GET /last
// what the last request was.
//
//   node upstream.mjs <port>
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { protocols, reply } from "./answers.mjs";

const paces = {
  steady: { words: 40, pause: 50 },
  slow: { words: 400, pause: 50 },
  quick: { words: 40, pause: 0 },
  thinker: { words: 8, pause: 0 },
  flaky: { words: 40, pause: 0, delay: 1000 },
};

/** The text a model answers with: "steady-1 steady-2 …". */
export const textOf = (model) => wordsOf(model).join("");

const wordsOf = (model) => Array.from({ length: paces[model].words }, (_, i) => `${i ? " " : ""}${model}-${i + 1}`);

const calls = { started: 0, finished: 0, aborted: 0 };
let last;
let flaky = 0;

/** The key that every protocol wants. */
export const providerKey = "sk-scripted";

async function read(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function answer(req, res, name, match) {
  const protocol = protocols[name];
  const body = JSON.parse((await read(req)).toString());
  last = { protocol: name, url: req.url, body, headers: { ...req.headers } };
  if (protocol.key(req.headers) !== providerKey) return fail(res, 401, "The key is wrong.", protocol);
  let ask;
  try {
    ask = protocol.ask(body, { headers: req.headers, match });
  } catch (error) {
    return fail(res, error.status ?? 400, error.message, protocol);
  }
  const pace = paces[ask.model];
  if (ask.model === "busy") res.setHeader("Retry-After", "7");
  if (!pace) return fail(res, { broken: 500, busy: 429 }[ask.model] ?? 404, "The scripted provider fails on purpose.", protocol);
  if (ask.model === "flaky" && flaky++ % 2 === 0) {
    await sleep(500);
    return fail(res, 500, "The scripted provider fails this time.", protocol);
  }
  const id = ++calls.started;
  res.on("close", () => calls[res.writableFinished ? "finished" : "aborted"]++);
  if (pace.delay) await sleep(pace.delay);
  await reply(res, id, protocol, ask, wordsOf(ask.model), pace.pause);
}

/** The vector of a text: its length, and some thirds. */
export const vectorOf = (text) => [text.length, 1 / 3, -2 / 3, 0].map(Math.fround);

/** A picture of one pixel. */
export const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

function embed(res, body) {
  const inputs = [body.input].flat();
  const encode = (vector) => (body.encoding_format === "base64" ? Buffer.from(new Float32Array(vector).buffer).toString("base64") : vector);
  const data = inputs.map((text, index) => ({ object: "embedding", index, embedding: encode(vectorOf(text)) }));
  json(res, { object: "list", data, model: body.model, usage: { prompt_tokens: 10 * inputs.length, total_tokens: 10 * inputs.length } });
}

function draw(res, body) {
  const data = Array.from({ length: body.n ?? 1 }, () => ({ b64_json: picture }));
  json(res, { created: 1_700_000_000, data, usage: { input_tokens: 12, output_tokens: 272, total_tokens: 284 } });
}

async function transcribe(req, res) {
  const form = await new Response(await read(req), { headers: { "Content-Type": req.headers["content-type"] } }).formData();
  const file = form.get("file");
  const text = `${file.name}, ${file.size} bytes, in ${form.get("language") ?? "any language"}`;
  json(res, { text, usage: { type: "tokens", input_tokens: 20, output_tokens: 9, total_tokens: 29 } });
}

function json(res, value) {
  res.setHeader("Content-Type", "application/json");
  res.end(JSON.stringify(value));
}

function fail(res, status, message, protocol = protocols.openai) {
  res.writeHead(status, { "Content-Type": "application/json" });
  res.end(JSON.stringify(protocol.error(status, message)));
}

async function route(req, res) {
  if (req.url === "/calls") return json(res, calls);
  if (req.url === "/last") return json(res, last ?? null);
  if (req.method !== "POST") return fail(res, 404, "There is nothing here.");
  for (const [name, { path }] of Object.entries(protocols)) {
    const match = path.exec(req.url);
    if (match) return answer(req, res, name, match);
  }
  switch (req.url) {
    case "/v1/embeddings":
      return embed(res, JSON.parse((await read(req)).toString()));
    case "/v1/images/generations":
      return draw(res, JSON.parse((await read(req)).toString()));
    case "/v1/audio/transcriptions":
      return transcribe(req, res);
    default:
      fail(res, 404, "There is nothing here.");
  }
}

export function start(port) {
  const server = createServer((req, res) => {
    route(req, res).catch((error) => {
      console.error(`${req.method} ${req.url}: ${error.stack}`);
      res.destroy();
    });
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

if (import.meta.filename === process.argv[1]) await start(Number(process.argv[2]));
