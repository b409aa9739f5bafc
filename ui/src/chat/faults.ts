// Plain sentences for the stable codes of failures.

const reasons: Record<string, string> = {
  provider_error: "its provider failed",
  provider_refused_request: "its provider refused the request",
  provider_key_refused: "it is not set up right on our side",
  provider_quota: "it is not set up right on our side",
  provider_unknown_model: "it is not set up right on our side",
  provider_wrong_address: "it is not set up right on our side",
  needs_key: "it is not set up right on our side",
  provider_rate_limited: "its provider takes no more requests right now",
  provider_overloaded: "its provider is overloaded",
  provider_timeout: "its provider did not answer in time",
  provider_unreachable: "its provider cannot be reached",
  provider_empty_answer: "its provider sent an empty answer",
  provider_cooling: "its provider failed often and is left to recover",
  breaker_open: "its provider failed often and is left to recover",
  queue_full: "too many requests wait for it",
  queue_timeout: "it had no free place in time",
  context_length_exceeded: "the conversation is too long for it",
  content_refused: "its provider refused the content",
};

/** Why a model could not answer, to follow the word "because"; empty when the code is not known. */
export const reasonOf = (code: string | undefined) => (code && reasons[code]) || "";

const outcomes: Record<string, string> = {
  ok: "Answered",
  stopped: "Stopped",
  provider_error: "Failed",
  provider_refused_request: "Refused the request",
  provider_key_refused: "Key refused",
  provider_quota: "Account empty",
  provider_rate_limited: "Too many requests",
  provider_overloaded: "Overloaded",
  provider_unknown_model: "Model unknown there",
  provider_wrong_address: "Wrong address",
  provider_timeout: "Too slow",
  provider_unreachable: "Not reachable",
  provider_empty_answer: "Empty answer",
};

/** How one attempt ended. An unknown code is shown as it is. */
export const outcomeOf = (code: string) => outcomes[code] ?? code.replaceAll("_", " ");
