package openai

// param gives the number of a top-level member, and its name as a constant: a
// conversion would allocate one for each member. The spelling is exact: some
// providers read names whatever their case, and "MAX_TOKENS" must not slip past.
func param(name []byte) (int, string) {
	switch string(name) {
	case "messages":
		return paramMessages, "messages"
	case "model":
		return paramModel, "model"
	case "stream":
		return paramStream, "stream"
	case "stream_options":
		return paramStreamOptions, "stream_options"
	case "max_tokens":
		return paramMaxTokens, "max_tokens"
	case "max_completion_tokens":
		return paramMaxCompletionTokens, "max_completion_tokens"
	case "n":
		return paramN, "n"
	case "stop":
		return paramStop, "stop"
	case "temperature":
		return paramTemperature, "temperature"
	case "top_p":
		return paramTopP, "top_p"
	case "presence_penalty":
		return paramPresencePenalty, "presence_penalty"
	case "frequency_penalty":
		return paramFrequencyPenalty, "frequency_penalty"
	case "seed":
		return paramSeed, "seed"
	case "response_format":
		return paramResponseFormat, "response_format"
	case "tools":
		return paramTools, "tools"
	case "tool_choice":
		return paramToolChoice, "tool_choice"
	case "max_cost":
		return paramMaxCost, "max_cost"
	case "max_cost_nano_usd":
		return paramMaxCostNano, "max_cost_nano_usd"
	case "models":
		return paramModels, "models"
	case "resumable":
		return paramResumable, "resumable"
	}
	return rareParam(name)
}

func rareParam(name []byte) (int, string) {
	switch string(name) {
	case "logprobs":
		return paramLogprobs, "logprobs"
	case "top_logprobs":
		return paramTopLogprobs, "top_logprobs"
	case "logit_bias":
		return paramLogitBias, "logit_bias"
	case "parallel_tool_calls":
		return paramParallelToolCalls, "parallel_tool_calls"
	case "functions":
		return paramFunctions, "functions"
	case "function_call":
		return paramFunctionCall, "function_call"
	case "user":
		return paramUser, "user"
	case "metadata":
		return paramMetadata, "metadata"
	case "store":
		return paramStore, "store"
	case "reasoning_effort":
		return paramReasoningEffort, "reasoning_effort"
	case "verbosity":
		return paramVerbosity, "verbosity"
	case "modalities":
		return paramModalities, "modalities"
	case "audio":
		return paramAudio, "audio"
	case "prediction":
		return paramPrediction, "prediction"
	case "service_tier":
		return paramServiceTier, "service_tier"
	case "web_search_options":
		return paramWebSearchOptions, "web_search_options"
	case "prompt_cache_key":
		return paramPromptCacheKey, "prompt_cache_key"
	case "prompt_cache_retention":
		return paramPromptCacheRetention, "prompt_cache_retention"
	case "safety_identifier":
		return paramSafetyIdentifier, "safety_identifier"
	}
	return paramUnknown, ""
}
