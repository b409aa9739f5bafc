// A model provider that speaks OpenAI's chat protocol and does the same thing
// every time: what is asked of it depends on the model's name alone.
//
//   steady  40 words, one every 50 ms
//   slow    400 words, one every 50 ms
//   quick   40 words at once
//   broken  a failure before the first word
//
// GET /calls tells how many calls began, ended and were given up by the caller.
//
//   node upstream.mjs <port>
import { createServer } from "node:http";

const paces = {
  steady: { words: 40, pause: 50 },
  slow: { words: 400, pause: 50 },
  quick: { words: 40, pause: 0 },
};

/** The text a model answers with: "steady-1 steady-2 …". */
export const textOf = (model) => wordsOf(model).join("");

const wordsOf = (model) => Array.from({ length: paces[model].words }, (_, i) => `${i ? " " : ""}${model}-${i + 1}`);

const calls = { started: 0, finished: 0, aborted: 0 };

async function answer(req, res) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks).toString());
  const pace = paces[body.model];
  if (!pace) return fail(res, body.model === "broken" ? 500 : 404);
  calls.started++;
  res.on("close", () => calls[res.writableFinished ? "finished" : "aborted"]++);
  const words = wordsOf(body.model);
  const usage = { prompt_tokens: 100, completion_tokens: words.length, total_tokens: 100 + words.length };
  const base = { id: `chatcmpl-${calls.started}`, created: 1_700_000_000, model: body.model };
  if (!body.stream) {
    const message = { role: "assistant", content: words.join("") };
    res.setHeader("Content-Type", "application/json");
    return res.end(JSON.stringify({ ...base, object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }], usage }));
  }
  res.setHeader("Content-Type", "text/event-stream");
  const send = (more) => res.write(`data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", ...more })}\n\n`);
  send({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] });
  for (const content of words) {
    send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
    if (pace.pause) await new Promise((resolve) => setTimeout(resolve, pace.pause));
    if (res.destroyed) return;
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  send({ choices: [], usage });
  res.end("data: [DONE]\n\n");
}

function fail(res, status) {
  res.writeHead(status, { "Content-Type": "application/json" });
  res.end(JSON.stringify({ error: { message: "The scripted provider fails on purpose.", type: "server_error", param: null, code: null } }));
}

export function start(port) {
  const server = createServer((req, res) => {
    if (req.method === "POST" && req.url === "/v1/chat/completions") {
      answer(req, res).catch(() => res.destroy());
    } else if (req.url === "/calls") {
      res.setHeader("Content-Type", "application/json");
      res.end(JSON.stringify(calls));
    } else {
      fail(res, 404);
    }
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

if (import.meta.filename === process.argv[1]) await start(Number(process.argv[2]));
