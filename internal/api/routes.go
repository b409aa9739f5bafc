package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func atoi(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// SignupCredits gives a new user what the settings say, once however often it is asked.
func SignupCredits(ctx context.Context, ledger *credit.Ledger, c *catalog.Catalog, user string) error {
	amount := c.Snapshot().Settings.SignupCredits
	if amount == 0 {
		return nil
	}
	_, err := ledger.Grant(ctx, credit.Entry{User: user, Kind: credit.Signup, Amount: amount, Ref: "signup", Reason: "Welcome credits", At: time.Now()})
	return err
}

// routes is every address of the API, in one list.
func (s *Server) routes() []route {
	get, post, put, patch, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	return []route{
		{post, "/v1/chat/completions", bearer, s.chatCompletions, "Ask one model (OpenAI's chat completions)", nil, nil},
		{post, "/v1/responses", bearer, s.createResponse, "Ask one model (OpenAI's Responses, not stored)", nil, nil},
		{post, "/v1/messages", bearer, s.createMessage, "Ask one model (Anthropic's Messages)", nil, nil},
		{post, "/v1/messages/count_tokens", bearer, s.countMessage, "Count a message's tokens", nil, nil},
		{post, "/v1/embeddings", bearer, s.createEmbeddings, "Texts to vectors", nil, nil},
		{post, "/v1/images/generations", bearer, s.createImages, "A prompt to images", nil, nil},
		{post, "/v1/audio/transcriptions", bearer, s.createTranscription, "Speech to text", nil, nil},
		{post, "/v1beta/models/{call...}", bearer, s.geminiCall, "Ask one model (Gemini's generateContent)", nil, nil},
		{get, "/v1beta/models", bearer, s.geminiModels, "Models you may call, as Gemini lists them", nil, nil},
		{get, "/v1beta/models/{id...}", bearer, s.geminiModel, "One model, as Gemini shows it", nil, nil},
		{get, "/v1/models", bearer, s.listModels, "Models you may call", nil, nil},
		{get, "/v1/models/{id...}", bearer, s.getModel, "One model", nil, model{}},
		{get, "/v1/streams/{id}", bearer, s.resumeStream, "Go on with a resumable stream by its request's id, after Last-Event-ID or ?after=", nil, nil},
		{get, "/v1/receipts/{id}", either, s.receipt, "What one answer cost and why, by its id or its request's", nil, credit.Receipt{}},

		{get, "/api/config", anyone, s.getConfig, "What the page needs before anybody signs in", nil, publicConfig{}},
		{post, "/api/setup", anyone, s.setup, "Make the first administrator with the one-time token", nil, me{}},
		{post, "/api/auth/signup", anyone, s.signup, "Open an account", credentials{}, me{}},
		{post, "/api/auth/login", anyone, s.login, "Sign in", credentials{}, me{}},
		{post, "/api/auth/logout", anyone, s.logout, "Sign out this device", nil, nil},
		{get, "/api/me", member, s.getMe, "Who is signed in", nil, me{}},
		{patch, "/api/me", member, s.updateMe, "Change name or password", nil, me{}},
		{get, "/api/me/sessions", member, s.listSessions, "Signed-in devices", nil, page[session]{}},
		{del, "/api/me/sessions/{id}", member, s.revokeSession, "Sign a device out", nil, nil},
		{get, "/api/keys", member, s.listKeys, "API keys", nil, page[apiKey]{}},
		{post, "/api/keys", member, s.createKey, "Make an API key; it is shown once", nil, apiKey{}},
		{patch, "/api/keys/{id}", member, s.updateKey, "Rename an API key, set its cap of a day or its use of the response cache: at once", keyChange{}, apiKey{}},
		{del, "/api/keys/{id}", member, s.deleteKey, "Revoke an API key", nil, nil},
		{get, "/api/models", member, s.getModels, "Models with prices including markup", nil, page[catalog.Listed]{}},

		{post, "/api/runs", member, s.createRun, "Put one prompt to 1-15 models", sendIn{}, run{}},
		{post, "/api/runs/estimate", member, s.estimateRun, "What a run would cost at least and at most", sendIn{}, nil},
		{get, "/api/runs/{id}", member, s.getRun, "A run with its answers", nil, run{}},
		{get, "/api/runs/{id}/events", member, s.runEvents, "A run's events as server-sent events", nil, nil},
		{post, "/api/runs/{id}/stop", member, s.stopRun, "Stop one answer or all", nil, run{}},
		{post, "/api/runs/{id}/retry", member, s.retryAnswer, "Ask one answer's model again", nil, run{}},
		{get, "/api/ws", member, s.webSocket, "One WebSocket per tab: events, balance, catalog", nil, nil},
		{get, "/api/conversations", member, s.listConversations, "Conversations, searched by ?q= (up to 200 characters)", nil, page[conversation]{}},
		{post, "/api/conversations", member, s.createConversation, "Start an empty conversation", nil, conversation{}},
		{get, "/api/conversations/{id}", member, s.getConversation, "A conversation with its runs", nil, conversation{}},
		{patch, "/api/conversations/{id}", member, s.updateConversation, "Rename or pin", nil, conversation{}},
		{del, "/api/conversations/{id}", member, s.deleteConversation, "Delete a conversation", nil, nil},
		{put, "/api/conversations/{id}/runs/{run}/selection", member, s.selectAnswers, "Choose the answers that feed the next run", nil, run{}},
		{get, "/api/credits", member, s.getCredits, "Balance", nil, creditBalance{}},
		{get, "/api/credits/transactions", member, s.listTransactions, "Ledger entries, newest first", nil, page[transaction]{}},
		{get, "/api/receipts/{id}", member, s.receipt, "What one answer cost and why", nil, credit.Receipt{}},

		{get, "/api/admin/models", admin, s.adminModels, "Models as configured", nil, page[adminModel]{}},
		{post, "/api/admin/models", admin, s.createModel, "Add a model", adminModel{}, adminModel{}},
		{patch, "/api/admin/models/{id}", admin, s.updateModel, "Change a model; prices become a new version (If-Match)", adminModel{}, adminModel{}},
		{del, "/api/admin/models/{id}", admin, s.deleteModel, "Remove a model", nil, nil},
		{get, "/api/admin/models/{id}/prices", admin, s.listPrices, "Price versions of a model", nil, page[priceVersion]{}},
		{post, "/api/admin/models/{id}/prices", admin, s.addPrice, "Add a price version, now or at a time", nil, priceVersion{}},
		{get, "/api/admin/providers", admin, s.adminProviders, "Providers as configured; keys by their last four characters", nil, page[adminProvider]{}},
		{post, "/api/admin/providers", admin, s.createProvider, "Add a provider", adminProvider{}, adminProvider{}},
		{patch, "/api/admin/providers/{id}", admin, s.updateProvider, "Change a provider; api_keys are written, never read (If-Match)", adminProvider{}, adminProvider{}},
		{del, "/api/admin/providers/{id}", admin, s.deleteProvider, "Remove a provider", nil, nil},
		{post, "/api/admin/providers/{id}/test", admin, s.testProvider, "Make one real, tiny call", nil, TestResult{}},
		{get, "/api/admin/plans", admin, s.adminPlans, "Plans", nil, page[adminPlan]{}},
		{post, "/api/admin/plans", admin, s.createPlan, "Add a plan", adminPlan{}, adminPlan{}},
		{patch, "/api/admin/plans/{id}", admin, s.updatePlan, "Change a plan (If-Match)", adminPlan{}, adminPlan{}},
		{del, "/api/admin/plans/{id}", admin, s.deletePlan, "Remove a plan", nil, nil},
		{get, "/api/admin/settings", admin, s.getSettings, "Settings", nil, adminSettings{}},
		{patch, "/api/admin/settings", admin, s.updateSettings, "Change settings (If-Match)", adminSettings{}, adminSettings{}},
		{get, "/api/admin/users", admin, s.listUsers, "Users, searched by ?q= (up to 200 characters)", nil, page[adminUser]{}},
		{post, "/api/admin/users", admin, s.createUser, "Make a user", nil, adminUser{}},
		{get, "/api/admin/users/{id}", admin, s.getUser, "One user", nil, adminUser{}},
		{patch, "/api/admin/users/{id}", admin, s.updateUser, "Suspend, change role, plan, limits: at once", nil, adminUser{}},
		{post, "/api/admin/users/{id}/credits", admin, s.grantCredits, "Give or take back credits, with a reason", nil, transaction{}},
		{get, "/api/admin/users/{id}/transactions", admin, s.userTransactions, "A user's ledger entries", nil, page[transaction]{}},
		{get, "/api/admin/revisions", admin, s.listRevisions, "Revisions, newest first", nil, page[revision]{}},
		{get, "/api/admin/revisions/{n}", admin, s.getRevision, "One revision as YAML", nil, revision{}},
		{get, "/api/admin/revisions/{a}/diff/{b}", admin, s.diffRevisions, "What changed between two revisions", nil, nil},
		{post, "/api/admin/revisions/{n}/rollback", admin, s.rollback, "Make an old revision's content the newest", nil, revision{}},
		{get, "/api/admin/audit", admin, s.listAudit, "Who changed what", nil, page[auditRow]{}},
		{get, "/api/admin/usage", admin, s.getUsage, "Use by day and model", nil, page[credit.UsageRow]{}},
		{get, "/api/admin/requests", admin, s.listRequests, "Receipts of everybody, newest first", nil, page[request]{}},
		{get, "/api/admin/instances", admin, s.listInstances, "Instances and the revision they serve", nil, instances{}},
		{get, "/api/admin/upstreams", admin, s.listUpstreams, "Providers as this instance finds them: queues, keys, breakers", nil, page[upstreamOf]{}},
		{get, "/api/admin/alerts", admin, s.listAlerts, "What an operator has to mend", nil, page[alert]{}},
		{get, "/api/admin/ledger", admin, s.getLedger, "The proof of the books", nil, ledgerReport{}},

		{get, "/.well-known/onemind-receipt-keys.json", anyone, s.receiptKeys, "Public keys that check signed receipts (JWKS)", nil, nil},
		{get, "/openapi.json", anyone, s.openAPI, "This description", nil, nil},
		{get, "/docs", anyone, s.docs, "This description, to read", nil, nil},
	}
}
