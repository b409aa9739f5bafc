package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onemind/internal/account"
	"onemind/internal/api"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/money"
)

func (c *cli) user() *cobra.Command {
	user := &cobra.Command{Use: "user", Short: "Make users"}
	var in account.NewUser
	var role, credits string
	var stdin bool
	create := &cobra.Command{Use: "create", Short: "Make a user", Args: cobra.NoArgs,
		Example: "  echo 'a long password' | onemind user create --email ann@example.org --role admin --password-stdin --credits 500",
		RunE: c.with(func(ctx context.Context, b *books, _ []string) error {
			in.Role = account.Role(role)
			if stdin {
				line, err := bufio.NewReader(c.in).ReadString('\n')
				if err != nil && line == "" {
					return fmt.Errorf("read the password: %w", err)
				}
				in.Password = strings.TrimRight(line, "\r\n")
			}
			return c.createUser(ctx, b, in, credits)
		})}
	f := create.Flags()
	f.StringVar(&in.Email, "email", "", "e-mail address (required)")
	f.StringVar(&in.Name, "name", "", "name to show")
	f.StringVar(&role, "role", "user", "user or admin")
	f.BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input; without one the user can only use API keys")
	f.StringVar(&credits, "credits", "", "credits to start with, instead of the sign-up credits of the settings")
	_ = create.MarkFlagRequired("email") // the flag is there
	user.AddCommand(create)
	return user
}

func (c *cli) createUser(ctx context.Context, b *books, in account.NewUser, credits string) error {
	var amount money.Amount
	if credits != "" {
		var err error
		if amount, err = money.ParseCredits(credits); err != nil || amount < 0 {
			return fault.Field("--credits", "must be a decimal number of credits, zero or more")
		}
	}
	u, err := b.accounts.Create(ctx, in)
	if err != nil {
		return err
	}
	switch {
	case credits == "":
		err = api.SignupCredits(ctx, b.ledger, b.catalog, u.ID)
	case amount > 0:
		_, err = b.ledger.Grant(ctx, credit.Entry{User: u.ID, Kind: credit.Grant, Amount: amount, Ref: "created", Reason: "Given when the account was made", Actor: "cli", At: time.Now()})
	}
	if err != nil {
		return fmt.Errorf("the user is made, but not the credits: %w", err)
	}
	return c.print(map[string]string{"id": u.ID, "email": u.Email, "role": string(u.Role)}, fmt.Sprintf("%s\t%s\t%s\n", u.ID, u.Email, u.Role))
}

func (c *cli) key() *cobra.Command {
	key := &cobra.Command{Use: "key", Short: "Make API keys"}
	var email, name string
	create := &cobra.Command{Use: "create", Short: "Make an API key and print it alone; it is shown this once", Args: cobra.NoArgs,
		Example: "  export OPENAI_API_KEY=$(onemind key create --user ann@example.org)",
		RunE: c.with(func(ctx context.Context, b *books, _ []string) error {
			u, err := b.accounts.UserByEmail(ctx, email)
			if err != nil {
				return fmt.Errorf("%s: %w", email, err)
			}
			k, plain, err := b.accounts.CreateKey(ctx, u.ID, account.NewKey{Name: name})
			if err != nil {
				return err
			}
			return c.print(map[string]string{"id": k.ID, "key": plain}, plain+"\n")
		})}
	create.Flags().StringVar(&email, "user", "", "e-mail address of the user (required)")
	create.Flags().StringVar(&name, "name", "command line", "name of the key")
	_ = create.MarkFlagRequired("user") // the flag is there
	key.AddCommand(create)
	return key
}

func (c *cli) creditCommand() *cobra.Command {
	root := &cobra.Command{Use: "credit", Short: "Give credits"}
	var email, amount, reason, ref string
	grant := &cobra.Command{Use: "grant", Short: "Give a user credits, or take some back with a negative number", Args: cobra.NoArgs,
		RunE: c.with(func(ctx context.Context, b *books, _ []string) error {
			u, err := b.accounts.UserByEmail(ctx, email)
			if err != nil {
				return fmt.Errorf("%s: %w", email, err)
			}
			n, err := money.ParseCredits(amount)
			if err != nil {
				return fault.Field("--credits", "must be a decimal number of credits with at most seven digits after the point")
			}
			if ref == "" {
				ref = api.NewID("grant")
			}
			kind := credit.Grant
			if n < 0 {
				kind = credit.Adjustment
			}
			e, err := b.ledger.Grant(ctx, credit.Entry{User: u.ID, Kind: kind, Amount: n, Ref: ref, Reason: reason, Actor: "cli", At: time.Now()})
			if err != nil {
				return err
			}
			balance, err := b.ledger.Balance(ctx, u.ID)
			if err != nil {
				return err
			}
			return c.print(map[string]any{"transaction": e.ID, "amount_nano_usd": e.Amount, "balance_nano_usd": balance.Total},
				fmt.Sprintf("%s credits to %s; balance %s\n", e.Amount.Credits(), u.Email, balance.Total.Credits()))
		})}
	f := grant.Flags()
	f.StringVar(&email, "user", "", "e-mail address of the user (required)")
	f.StringVar(&amount, "credits", "", "how many credits; 1 credit is 1 US cent (required)")
	f.StringVar(&reason, "reason", "", "shown to the user and to auditors (required)")
	f.StringVar(&ref, "ref", "", "reference that makes a repeated grant count once")
	for _, name := range []string{"user", "credits", "reason"} {
		_ = grant.MarkFlagRequired(name) // the flag is there
	}
	root.AddCommand(grant)
	return root
}
