package wire

import (
	"testing"
	"time"

	"onemind/internal/llm"
)

// Google says in the body when to come back, and in no header.
func TestRetryInfo(t *testing.T) {
	const info = `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"17s"}`
	const quota = `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}`
	for name, tt := range map[string]struct {
		body string
		want time.Duration
	}{
		"object":         {`{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[` + quota + `,` + info + `]}}`, 17 * time.Second},
		"list":           {`[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[` + info + `]}}]`, 17 * time.Second},
		"fraction":       {`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"0.847655010s"}]}}`, 847655010},
		"too long":       {`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"86400s"}]}}`, time.Hour},
		"no delay":       {`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[` + quota + `]}}`, 0},
		"nonsense":       {`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"soon"},{"retryDelay":{}},7]}}`, 0},
		"negative":       {`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"-3s"}]}}`, 0},
		"details object": {`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":{"retryDelay":"3s"}}}`, 0},
	} {
		for _, status := range []int{429, 0} { // 0: within a stream that began with 200
			f := complaintOf([]byte(tt.body)).failure(status, &llm.Target{})
			if f.Retry != tt.want || f.Class != llm.RateLimited || f.Status != 429 {
				t.Errorf("%s: %v, %v, %d", name, f.Retry, f.Class, f.Status)
			}
		}
	}
}
