package anthropic

// ParseFull is Parse with the hints kept that no other dialect understands.
func ParseFull(body []byte) (chat []byte, only []string, err error) {
	return parse(body, parser{hints: true})
}

// Outbound is what a provider would get.
var Outbound, Passed = outbound, passed
