package api

import (
	"encoding/json"
	"net/http"
	"time"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/fleet"
	"onemind/internal/money"
)

// audit records an act that is no catalog change.
func (s *Server) audit(r *http.Request, action, object string, before, after any) error {
	b, err := json.Marshal(before)
	if err != nil {
		return err
	}
	a, err := json.Marshal(after)
	if err != nil {
		return err
	}
	return s.Catalog.Audit(r.Context(), catalog.Audit{Actor: userOf(r), Action: action, Object: object, Before: string(b), After: string(a), Address: addressOf(r), At: time.Now()})
}

type adminUser struct {
	ID        string         `json:"id"`
	Email     string         `json:"email"`
	Name      string         `json:"name"`
	Role      account.Role   `json:"role"`
	State     string         `json:"state"`
	Plan      string         `json:"plan"`
	Limits    account.Limits `json:"limits"`
	Balance   money.Amount   `json:"balance_nano_usd"`
	Held      money.Amount   `json:"held_nano_usd"`
	CreatedAt time.Time      `json:"created_at"`
	SeenAt    *time.Time     `json:"last_seen_at,omitempty"`
}

func (s *Server) adminUser(r *http.Request, u account.User) (adminUser, error) {
	b, err := s.Ledger.Balance(r.Context(), u.ID)
	if err != nil {
		return adminUser{}, err
	}
	out := adminUser{ID: u.ID, Email: u.Email, Name: u.Name, Role: u.Role, State: "active", Plan: u.Plan, Limits: u.Limits,
		Balance: b.Total, Held: b.Held, CreatedAt: u.CreatedAt}
	if u.Suspended {
		out.State = "suspended"
	}
	if !u.SeenAt.IsZero() {
		out.SeenAt = &u.SeenAt
	}
	return out, nil
}

func (s *Server) sendUser(w http.ResponseWriter, r *http.Request, status int, u account.User) error {
	out, err := s.adminUser(r, u)
	if err != nil {
		return err
	}
	return send(w, status, out)
}

func (s *Server) listUsers(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	query, err := queryOf(r)
	if err != nil {
		return err
	}
	users, err := s.Accounts.Users(r.Context(), account.Filter{Query: query, After: r.URL.Query().Get("cursor"), Limit: limit})
	if err != nil {
		return err
	}
	out := page[adminUser]{Items: []adminUser{}}
	for _, u := range users {
		v, err := s.adminUser(r, u)
		if err != nil {
			return err
		}
		out.Items = append(out.Items, v)
	}
	if len(users) == limit {
		out.Next = users[len(users)-1].ID
	}
	return send(w, http.StatusOK, out)
}

func (s *Server) createUser(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		credentials
		Role account.Role `json:"role,omitempty"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if in.Role == "" {
		in.Role = account.Member
	}
	u, err := s.Accounts.Create(r.Context(), account.NewUser{Email: in.Email, Name: in.Name, Role: in.Role, Password: in.Password})
	if err != nil {
		return err
	}
	if err := SignupCredits(r.Context(), s.Ledger, s.Catalog, u.ID); err != nil {
		return err
	}
	if err := s.audit(r, "user.create", "user "+u.ID, nil, map[string]any{"email": u.Email, "role": u.Role}); err != nil {
		return err
	}
	return s.sendUser(w, r, http.StatusCreated, u)
}

func (s *Server) getUser(w http.ResponseWriter, r *http.Request) error {
	u, err := s.Accounts.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.sendUser(w, r, http.StatusOK, u)
}

func (s *Server) updateUser(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		State  *string         `json:"state"`
		Role   *account.Role   `json:"role"`
		Plan   *string         `json:"plan"`
		Name   *string         `json:"name"`
		Limits *account.Limits `json:"limits"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	id := r.PathValue("id")
	before, err := s.Accounts.User(r.Context(), id)
	if err != nil {
		return err
	}
	change := account.Change{Name: in.Name, Role: in.Role, Plan: in.Plan, Limits: in.Limits}
	if in.State != nil {
		if *in.State != "active" && *in.State != "suspended" {
			return fault.Field("state", "must be active or suspended")
		}
		suspended := *in.State == "suspended"
		change.Suspended = &suspended
	}
	if in.Plan != nil && *in.Plan != "" && s.Catalog.Snapshot().Plan(*in.Plan).ID != *in.Plan {
		return fault.Field("plan", "must be the id of a plan")
	}
	u, err := s.Accounts.Update(r.Context(), id, change)
	if err != nil {
		return err
	}
	plain := func(u account.User) any {
		return map[string]any{"name": u.Name, "role": u.Role, "plan": u.Plan, "suspended": u.Suspended, "limits": u.Limits}
	}
	if err := s.audit(r, "user.change", "user "+id, plain(before), plain(u)); err != nil {
		return err
	}
	return s.sendUser(w, r, http.StatusOK, u)
}

func (s *Server) grantCredits(w http.ResponseWriter, r *http.Request) error {
	if err := needKey(r); err != nil {
		return err
	}
	var in struct {
		Credits json.RawMessage `json:"credits"`
		Reason  string          `json:"reason"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	u, err := s.Accounts.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	text := string(in.Credits)
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	amount, err := money.ParseCredits(text)
	if err != nil {
		return fault.Field("credits", "must be a decimal number of credits with at most seven digits after the point")
	}
	kind := credit.Grant
	if amount < 0 {
		kind = credit.Adjustment
	}
	e, err := s.Ledger.Grant(r.Context(), credit.Entry{User: u.ID, Kind: kind, Amount: amount, Ref: r.Header.Get("Idempotency-Key"),
		Reason: in.Reason, Actor: userOf(r), At: time.Now()})
	if err != nil {
		return err
	}
	if err := s.audit(r, "user.credits", "user "+u.ID, nil, map[string]any{"credits": amount.Credits(), "reason": in.Reason}); err != nil {
		return err
	}
	return send(w, http.StatusCreated, transactionOf(e))
}

func (s *Server) userTransactions(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Accounts.User(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	return s.transactions(w, r, r.PathValue("id"))
}

type ledgerReport struct {
	OK           bool         `json:"ok"`
	Entries      money.Amount `json:"entries_nano_usd"`
	Balances     money.Amount `json:"balances_nano_usd"`
	Open         money.Amount `json:"open_holds_nano_usd"`
	Held         money.Amount `json:"held_nano_usd"`
	Accounts     int64        `json:"accounts"`
	Transactions int64        `json:"transactions"`
	OpenHolds    int64        `json:"open_holds"`
	OldestHold   *time.Time   `json:"oldest_hold_at,omitempty"`
	Problems     []string     `json:"problems"`
	CheckedAt    time.Time    `json:"checked_at"`
}

// LedgerReport puts a proof of the books into the shape that the API and the
// command line share.
func LedgerReport(r credit.Report) any {
	out := ledgerReport{r.OK, r.Entries, r.Balances, r.Open, r.Held, r.Accounts, r.Transactions, r.OpenHolds, nil, notNil(r.Problems), r.At}
	if !r.OldestHold.IsZero() {
		out.OldestHold = &r.OldestHold
	}
	return out
}

func (s *Server) getLedger(w http.ResponseWriter, r *http.Request) error {
	report, err := s.Ledger.Check(r.Context())
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, LedgerReport(report))
}

func (s *Server) getUsage(w http.ResponseWriter, r *http.Request) error {
	days := 30
	if text := r.URL.Query().Get("days"); text != "" {
		n, ok := atoi(text)
		if !ok || n < 1 || n > 366 {
			return fault.Field("days", "must be a whole number from 1 to 366")
		}
		days = int(n)
	}
	rows, err := s.Ledger.Usage(r.Context(), "", time.Now().AddDate(0, 0, -days))
	if err != nil {
		return err
	}
	if rows == nil {
		rows = []credit.UsageRow{}
	}
	return send(w, http.StatusOK, page[credit.UsageRow]{Items: rows})
}

type request struct {
	credit.Receipt
	UserID string `json:"user_id"`
	Email  string `json:"email"`
}

func (s *Server) listRequests(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	before, err := cursorOf(r)
	if err != nil {
		return err
	}
	receipts, last, err := s.Ledger.Receipts(r.Context(), "", credit.Page{Before: before, Limit: limit})
	if err != nil {
		return err
	}
	emails := map[string]string{}
	out := page[request]{Items: []request{}}
	for _, rec := range receipts {
		if _, known := emails[rec.User]; !known {
			if u, err := s.Accounts.User(r.Context(), rec.User); err == nil {
				emails[rec.User] = u.Email
			}
		}
		out.Items = append(out.Items, request{rec, rec.User, emails[rec.User]})
	}
	if len(receipts) == limit {
		out.Next = itoa(last)
	}
	return send(w, http.StatusOK, out)
}

type auditRow struct {
	ID        int64     `json:"id"`
	Actor     string    `json:"actor"`
	Action    string    `json:"action"`
	Object    string    `json:"object"`
	Before    string    `json:"before,omitempty"`
	After     string    `json:"after,omitempty"`
	Address   string    `json:"address,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

func (s *Server) listAudit(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	below, err := cursorOf(r)
	if err != nil {
		return err
	}
	rows, err := s.Catalog.AuditLog(r.Context(), below, limit)
	if err != nil {
		return err
	}
	out := page[auditRow]{Items: []auditRow{}}
	for _, a := range rows {
		actor := a.Actor
		if u, err := s.Accounts.User(r.Context(), a.Actor); err == nil {
			actor = u.Email
		}
		out.Items = append(out.Items, auditRow{a.ID, actor, a.Action, a.Object, a.Before, a.After, a.Address, a.At})
	}
	if len(rows) == limit {
		out.Next = itoa(rows[len(rows)-1].ID)
	}
	return send(w, http.StatusOK, out)
}

type instance struct {
	Instance    string    `json:"instance"`
	Revision    int64     `json:"revision"`
	StartedAt   time.Time `json:"started_at"`
	Version     string    `json:"version"`
	OpenAnswers int64     `json:"open_answers"`
	Healthy     bool      `json:"healthy"`
	Problem     string    `json:"problem"` // what it works without; empty when all is well
	SeenMS      int64     `json:"seen_ms"` // since it last spoke
	This        bool      `json:"this"`    // the one that answers
	Boot        string    `json:"boot"`    // unique to this start
}

type instances struct {
	Items    []instance     `json:"items"`
	Revision int64          `json:"revision"` // the newest that any of them serves
	Serving  int            `json:"serving"`  // how many serve it
	Rollout  *fleet.Rollout `json:"rollout"`  // the last edit that reached everybody, and how long that took
}

// silentAfter is when an instance that says nothing counts as not healthy.
const silentAfter = 10 * time.Second

func (s *Server) listInstances(w http.ResponseWriter, r *http.Request) error {
	out := instances{Items: []instance{}}
	for _, i := range s.Instances(r.Context()) {
		out.Items = append(out.Items, instance{i.Name, i.Revision, i.StartedAt, i.Version, i.OpenAnswers, i.Healthy && i.Age < silentAfter,
			i.Problem, i.Age.Milliseconds(), i.Boot == s.Boot, i.Boot})
		out.Revision = max(out.Revision, i.Revision)
		if i.Rollout != nil && (out.Rollout == nil || i.Rollout.Revision > out.Rollout.Revision) {
			out.Rollout = i.Rollout
		}
	}
	for _, i := range out.Items {
		if i.Revision == out.Revision {
			out.Serving++
		}
	}
	return send(w, http.StatusOK, out)
}
