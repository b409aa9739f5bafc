import { expect, it } from "vitest";
import type { Model } from "../api/types";
import { chats } from "./models";

it("leaves models that do not chat out of the chat", () => {
  const model = (capabilities: string[] | null) => ({ capabilities }) as Model;
  expect(chats(model(["streaming", "tools", "images", "reasoning"]))).toBe(true);
  expect(chats(model(null))).toBe(true);
  for (const special of ["embeddings", "image_generation", "transcription"]) expect(chats(model([special]))).toBe(false);
});
