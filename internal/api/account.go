package api

import (
	"net"
	"net/http"
	"strings"
	"time"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/money"
)

// cookieName is the session's cookie: bound to the host where the page is
// served over https. Plain http (a laptop) cannot have that prefix.
func cookieName(r *http.Request, public string) string {
	if isSecure(r, public) {
		return "__Host-om_session"
	}
	return "om_session"
}

func isSecure(r *http.Request, public string) bool {
	return r.TLS != nil || strings.HasPrefix(public, "https://")
}

// sessionAge is how long a browser keeps the cookie; the server decides sooner.
const sessionAge = 24 * time.Hour

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, token string) {
	c := &http.Cookie{Name: cookieName(r, s.Public), Value: token, Path: "/", HttpOnly: true, Secure: isSecure(r, s.Public),
		SameSite: http.SameSiteLaxMode, MaxAge: int(sessionAge.Seconds())}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// addressOf is the client's address without its port. Forwarding headers are
// not believed: anyone can send them.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func deviceOf(r *http.Request) account.Device {
	agent := r.UserAgent()
	return account.Device{UserAgent: agent[:min(len(agent), 300)], Address: addressOf(r)}
}

type publicConfig struct {
	Version       string       `json:"version"`
	SetupNeeded   bool         `json:"setup_needed"`
	SignupEnabled bool         `json:"signup_enabled"`
	Revision      int64        `json:"revision"`
	Credit        money.Amount `json:"credit_nano_usd"`
	Public        string       `json:"public_url"`
}

func (s *Server) getConfig(w http.ResponseWriter, r *http.Request) error {
	needed, err := s.Accounts.SetupNeeded(r.Context())
	if err != nil {
		return err
	}
	snap := s.Catalog.Snapshot()
	return send(w, http.StatusOK, publicConfig{s.Version, needed, snap.Settings.SignupEnabled, snap.Revision, money.Credit, s.Public})
}

type me struct {
	ID        string       `json:"id"`
	Email     string       `json:"email"`
	Name      string       `json:"name"`
	Role      account.Role `json:"role"`
	Plan      string       `json:"plan"`
	Balance   money.Amount `json:"balance_nano_usd"`
	Held      money.Amount `json:"held_nano_usd"`
	Available money.Amount `json:"available_nano_usd"`
	CreatedAt time.Time    `json:"created_at"`
}

func (s *Server) me(r *http.Request, u account.User) (me, error) {
	b, err := s.Ledger.Shown(r.Context(), u.ID)
	if err != nil {
		return me{}, err
	}
	return me{u.ID, u.Email, u.Name, u.Role, s.Catalog.Snapshot().Plan(u.Plan).ID, b.Total, b.Held, b.Available(), u.CreatedAt}, nil
}

func (s *Server) getMe(w http.ResponseWriter, r *http.Request) error {
	m, err := s.me(r, identityOf(r).User)
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, m)
}

type credentials struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Name     string `json:"name,omitempty"`
}

// welcome signs a new user in and gives what new users get.
func (s *Server) welcome(w http.ResponseWriter, r *http.Request, u account.User) error {
	if err := SignupCredits(r.Context(), s.Ledger, s.Catalog, u.ID); err != nil {
		return err
	}
	token, _, err := s.Accounts.StartSession(r.Context(), u.ID, deviceOf(r), time.Now())
	if err != nil {
		return err
	}
	s.setCookie(w, r, token)
	m, err := s.me(r, u)
	if err != nil {
		return err
	}
	return send(w, http.StatusCreated, m)
}

func (s *Server) signup(w http.ResponseWriter, r *http.Request) error {
	var in credentials
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if !s.Catalog.Snapshot().Settings.SignupEnabled {
		return fault.New(fault.Forbidden, "signup_closed", "Sign-up is closed here. Ask an administrator for an account.")
	}
	if err := s.slow(r, in.Email); err != nil {
		return err
	}
	u, err := s.Accounts.Signup(r.Context(), in.Email, in.Password, in.Name)
	if err != nil {
		return err
	}
	return s.welcome(w, r, u)
}

func (s *Server) setup(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Token string `json:"token"`
		credentials
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := s.slow(r, "setup"); err != nil {
		return err
	}
	u, err := s.Accounts.Setup(r.Context(), in.Token, in.Email, in.Password, in.Name)
	if err != nil {
		return err
	}
	return s.welcome(w, r, u)
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	var in credentials
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := s.slow(r, in.Email); err != nil {
		return err
	}
	token, _, u, err := s.Accounts.Login(r.Context(), in.Email, in.Password, deviceOf(r), time.Now())
	if err != nil {
		return err
	}
	s.setCookie(w, r, token)
	m, err := s.me(r, u)
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, m)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if c, err := r.Cookie(cookieName(r, s.Public)); err == nil {
		if err := s.Accounts.Logout(r.Context(), c.Value); err != nil {
			return err
		}
	}
	s.setCookie(w, r, "")
	return none(w)
}

func (s *Server) updateMe(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name     *string `json:"name"`
		Current  string  `json:"current_password"`
		Password *string `json:"new_password"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	id := identityOf(r)
	if in.Password != nil {
		if err := s.slow(r, id.User.Email); err != nil {
			return err
		}
		if err := s.Accounts.ChangePassword(r.Context(), id.User.ID, in.Current, *in.Password, id.SessionHash); err != nil {
			return err
		}
	}
	u := id.User
	if in.Name != nil {
		var err error
		if u, err = s.Accounts.Update(r.Context(), u.ID, account.Change{Name: in.Name}); err != nil {
			return err
		}
	}
	m, err := s.me(r, u)
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, m)
}

type session struct {
	ID        string    `json:"id"`
	UserAgent string    `json:"user_agent"`
	Address   string    `json:"address"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"last_seen_at"`
	Current   bool      `json:"current"`
}

func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) error {
	id := identityOf(r)
	list, err := s.Accounts.Sessions(r.Context(), id.User.ID)
	if err != nil {
		return err
	}
	out := page[session]{Items: []session{}}
	for _, x := range list {
		out.Items = append(out.Items, session{x.ID, x.UserAgent, x.Address, x.CreatedAt, x.SeenAt, x.Hash == id.SessionHash})
	}
	return send(w, http.StatusOK, out)
}

func (s *Server) revokeSession(w http.ResponseWriter, r *http.Request) error {
	if err := s.Accounts.Revoke(r.Context(), userOf(r), r.PathValue("id")); err != nil {
		return err
	}
	return none(w)
}

type apiKey struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Prefix    string     `json:"prefix"`
	Key       string     `json:"key,omitempty"` // shown once
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"last_used_at,omitempty"`

	CreditsPerDay money.Amount `json:"credits_per_day_nano_usd"` // what it may spend in one day (UTC); 0: no cap of its own
	ResponseCache bool         `json:"response_cache"`           // answer its repeated requests from the response cache
}

func apiKeyOf(k account.Key) apiKey {
	out := apiKey{ID: k.ID, Name: k.Name, Prefix: k.Prefix, CreatedAt: k.CreatedAt,
		CreditsPerDay: money.Amount(k.CreditsPerDay), ResponseCache: k.ResponseCache}
	if !k.UsedAt.IsZero() {
		out.UsedAt = &k.UsedAt
	}
	return out
}

func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) error {
	keys, err := s.Accounts.Keys(r.Context(), userOf(r))
	if err != nil {
		return err
	}
	out := page[apiKey]{Items: []apiKey{}}
	for _, k := range keys {
		out.Items = append(out.Items, apiKeyOf(k))
	}
	return send(w, http.StatusOK, out)
}

func (s *Server) createKey(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name          string `json:"name"`
		CreditsPerDay int64  `json:"credits_per_day_nano_usd"`
		ResponseCache bool   `json:"response_cache"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	k, plain, err := s.Accounts.CreateKey(r.Context(), userOf(r), account.NewKey(in))
	if err != nil {
		return err
	}
	out := apiKeyOf(k)
	out.Key = plain
	return send(w, http.StatusCreated, out)
}

// keyChange is what a key's owner may change of it; what is left out stays.
type keyChange struct {
	Name          *string `json:"name,omitempty"`
	CreditsPerDay *int64  `json:"credits_per_day_nano_usd,omitempty"`
	ResponseCache *bool   `json:"response_cache,omitempty"`
}

func (s *Server) updateKey(w http.ResponseWriter, r *http.Request) error {
	var in keyChange
	if err := decode(w, r, &in); err != nil {
		return err
	}
	k, err := s.Accounts.UpdateKey(r.Context(), userOf(r), r.PathValue("id"), account.KeyChange(in))
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, apiKeyOf(k))
}

func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request) error {
	if err := s.Accounts.DeleteKey(r.Context(), userOf(r), r.PathValue("id")); err != nil {
		return err
	}
	return none(w)
}

type creditBalance struct {
	Balance   money.Amount `json:"balance_nano_usd"`
	Held      money.Amount `json:"held_nano_usd"`
	Available money.Amount `json:"available_nano_usd"`
}

func (s *Server) getCredits(w http.ResponseWriter, r *http.Request) error {
	b, err := s.Ledger.Shown(r.Context(), userOf(r))
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, creditBalance{b.Total, b.Held, b.Available()})
}

type transaction struct {
	ID        int64        `json:"id"`
	Kind      credit.Kind  `json:"kind"`
	Amount    money.Amount `json:"amount_nano_usd"`
	Reason    string       `json:"reason,omitempty"`
	Model     string       `json:"model,omitempty"`
	Ref       string       `json:"ref,omitempty"`
	Receipt   string       `json:"receipt_id,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
}

func transactionOf(e credit.Entry) transaction {
	t := transaction{ID: e.ID, Kind: e.Kind, Amount: e.Amount, Reason: e.Reason, Model: e.Model, Ref: e.Ref, CreatedAt: e.At}
	if e.Kind == credit.Charged {
		t.Receipt = e.Ref
	}
	return t
}

func (s *Server) listTransactions(w http.ResponseWriter, r *http.Request) error {
	return s.transactions(w, r, userOf(r))
}

func (s *Server) transactions(w http.ResponseWriter, r *http.Request, user string) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	before, err := cursorOf(r)
	if err != nil {
		return err
	}
	entries, err := s.Ledger.Entries(r.Context(), user, credit.Page{Before: before, Limit: limit})
	if err != nil {
		return err
	}
	out := page[transaction]{Items: []transaction{}}
	for _, e := range entries {
		out.Items = append(out.Items, transactionOf(e))
	}
	if len(entries) == limit {
		out.Next = itoa(entries[len(entries)-1].ID)
	}
	return send(w, http.StatusOK, out)
}

func (s *Server) getModels(w http.ResponseWriter, r *http.Request) error {
	snap, plan := s.Catalog.Snapshot(), s.planOf(identityOf(r).User)
	items := []catalog.Listed{}
	for _, m := range snap.Models() {
		if !snap.PlanAllows(plan, m.ID) {
			m.Available, m.Reason = false, "not_in_plan"
		}
		items = append(items, m)
	}
	return send(w, http.StatusOK, struct {
		Revision int64            `json:"revision"`
		Items    []catalog.Listed `json:"items"`
	}{snap.Revision, items})
}
