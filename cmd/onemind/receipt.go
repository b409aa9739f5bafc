package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/secret"
)

// receiptUse is what the keys that sign receipts are derived for. Another word makes
// other keys, and every earlier signature false.
const receiptUse = "receipt"

// mostReceipt bounds what is read of a receipt and of a list of keys, in bytes.
const mostReceipt = 1 << 20

// signer gives what signs receipts, from the secret keys.
func signer(keys string) (*secret.Signer, error) {
	box, err := secret.New(keys)
	if err != nil {
		return nil, fmt.Errorf("ONEMIND_SECRET_KEY: %w", err)
	}
	return box.Signer(receiptUse)
}

func (c *cli) receipt() *cobra.Command {
	root := &cobra.Command{Use: "receipt", Short: "Show receipts and check their signatures"}
	root.AddCommand(c.receiptShow(), c.receiptVerify())
	return root
}

// receiptShow is `receipt show`.
func (c *cli) receiptShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Print the signed receipt of an answer, by its id or its request's", Args: cobra.ExactArgs(1),
		Example: "  onemind receipt show ans_01J… | onemind receipt verify -",
		RunE: c.with(func(ctx context.Context, b *books, args []string) error {
			r, err := b.ledger.Receipt(ctx, "", args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			keys, err := existingKeys(b.config)
			if err != nil {
				return err
			}
			s, err := signer(keys)
			if err != nil {
				return err
			}
			doc, err := credit.Signed(r, s.Sign)
			if err != nil {
				return err
			}
			var text bytes.Buffer
			if err := json.Indent(&text, doc, "", "  "); err != nil {
				return fmt.Errorf("write the receipt: %w", err)
			}
			_, err = fmt.Fprintln(c.out, text.String())
			return err
		})}
}

// receiptVerify is `receipt verify`.
func (c *cli) receiptVerify() *cobra.Command {
	var from string
	cmd := &cobra.Command{Use: "verify FILE", Short: "Check the signature of a receipt (- reads standard input)", Args: cobra.ExactArgs(1),
		Long: `Checks that a receipt was signed by a OneMind installation and that nothing in it was
changed since. With --keys the public keys come from a file (a JSON Web Key Set as at
/.well-known/onemind-receipt-keys.json, or PEM), from an https address, or from the flag
itself in base64: nothing else is needed, and no network unless it is an address. Without
--keys the local secret key tells. Exit code 0 means that the receipt is right, 1 that it is not.`,
		Example: "  curl -s https://ai.example.org/.well-known/onemind-receipt-keys.json > keys.json\n  onemind receipt verify receipt.json --keys keys.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.verify(cmd, args[0], from)
		}}
	cmd.Flags().StringVar(&from, "keys", "", "public keys: a file, an https address, or base64; default is the local secret key")
	return cmd
}

// verdict is what `receipt verify --json` prints.
type verdict struct {
	Valid   bool   `json:"valid"`
	Receipt string `json:"receipt_id,omitempty"`
	KeyID   string `json:"key_id,omitempty"`
	Code    string `json:"code,omitempty"`    // why it is not valid
	Problem string `json:"problem,omitempty"` // the same in a sentence
}

func (c *cli) verify(cmd *cobra.Command, file, from string) error {
	doc, err := c.readReceipt(file)
	if err != nil {
		return err
	}
	keys, err := c.publicKeys(cmd, from)
	if err != nil {
		return err
	}
	v := verdict{Valid: true}
	r, err := credit.CheckSigned(doc, func(id string, payload, signature []byte) error {
		v.KeyID = id
		return keys.Verify(id, payload, signature)
	})
	if err == nil {
		v.Receipt = r.ID
		return c.print(v, fmt.Sprintf("receipt %s is genuine: %s credits for %s on %s, signed by key %s\n",
			r.ID, r.Charge.Credits(), r.ServedBy, r.FinishedAt.UTC().Format(time.DateOnly), v.KeyID))
	}
	wrong := explainReceipt(err, v.KeyID)
	if c.json {
		v.Valid, v.Code, v.Problem = false, wrong.Code, wrong.Text
		if err := c.print(v, ""); err != nil {
			return err
		}
	}
	return wrong
}

// explainReceipt says why a receipt is not right.
func explainReceipt(err error, keyID string) *fault.Error {
	switch {
	case errors.Is(err, secret.ErrForged):
		return fault.New(fault.Invalid, "receipt_forged", "The signature is false: the receipt was changed, or it was not signed by key %q.", keyID)
	case errors.Is(err, secret.ErrUnknownSigner):
		return fault.New(fault.Invalid, "receipt_key_unknown", "The receipt is signed by key %q, which is not among the keys given.", keyID)
	}
	wrong := fault.From(err)
	if wrong.Err != nil { // what exactly is wrong says nothing that is secret
		return fault.New(wrong.Kind, wrong.Code, "%s: %v.", strings.TrimSuffix(wrong.Text, "."), wrong.Err)
	}
	return wrong
}

func (c *cli) readReceipt(file string) ([]byte, error) {
	in := c.in
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the operator names it
		if err != nil {
			return nil, fmt.Errorf("read the receipt: %w", err)
		}
		defer f.Close()
		in = f
	}
	doc, err := io.ReadAll(io.LimitReader(in, mostReceipt))
	if err != nil {
		return nil, fmt.Errorf("read the receipt: %w", err)
	}
	return doc, nil
}

// publicKeys gives the keys to check with: from where the flag says, else those of
// the local secret key.
func (c *cli) publicKeys(cmd *cobra.Command, from string) (secret.Verifier, error) {
	if from == "" {
		config, err := c.load(cmd)
		if err != nil {
			return nil, err
		}
		keys, err := existingKeys(config)
		if err != nil {
			return nil, err
		}
		s, err := signer(keys)
		if err != nil {
			return nil, err
		}
		return s.PublicKeys(), nil
	}
	text := []byte(from)
	var err error
	if strings.HasPrefix(from, "https://") || strings.HasPrefix(from, "http://") {
		text, err = fetchKeys(cmd.Context(), from)
	} else if data, failed := os.ReadFile(from); failed == nil { //nolint:gosec // the operator names it
		text = data
	} else if !errors.Is(failed, os.ErrNotExist) && len(from) != 43 && len(from) != 44 { // a key's base64 is no file
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	keys, err := secret.ParsePublicKeys(text)
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	return keys, nil
}

// existingKeys gives the secret keys of this installation and makes none where there
// is none.
func existingKeys(config *config) (string, error) {
	if config.get("ONEMIND_SECRET_KEY") == "" {
		if _, err := os.Stat(filepath.Join(config.get("ONEMIND_DATA_DIR"), "secret.key")); err != nil {
			return "", errors.New("there is no secret key here to check with: give --keys, or set ONEMIND_SECRET_KEY or ONEMIND_DATA_DIR")
		}
	}
	return config.secretKey(secret.Generate)
}

// fetchKeys gets public keys from an address. Whoever can change them on the way can
// forge receipts, so that only this machine may be asked without TLS.
func fetchKeys(ctx context.Context, address string) ([]byte, error) {
	client := http.Client{Timeout: 10 * time.Second, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("too many redirects")
		}
		return safeAddress(r.URL)
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := safeAddress(r.URL); err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", address, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, mostReceipt))
}

func safeAddress(u *url.URL) error {
	host := u.Hostname()
	if ip := net.ParseIP(host); u.Scheme == "https" || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("keys are taken from an https address only")
}
