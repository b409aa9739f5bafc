// Command onemind is OneMind in one binary: the server, and the commands that
// look after it. This package reads flags and the environment, wires the parts by hand,
// starts them and drains them; it decides nothing else.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"onemind/internal/fault"
)

// version is set by the linker: -X main.version=…
var version = "dev"

// Exit codes. A script can tell a wrong call from a failure and from a check that found something.
const (
	exitFailed = 1 // the command could not do what was asked
	exitUsage  = 2 // flags or arguments are wrong
	exitFound  = 3 // a check found a problem: ledger check, doctor, catalog diff
)

// errFound ends a check that found something; it has been printed already.
var errFound = errors.New("a problem was found")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// cli is one invocation.
type cli struct {
	in       io.Reader
	out, err io.Writer
	file     string // --config
	json     bool   // --json
}

// run executes one command line and gives its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	c := &cli{in: in, out: out, err: errs}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	used := false
	root.PersistentPreRun = func(*cobra.Command, []string) { used = true }
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return exitFound
	}
	fmt.Fprintln(errs, "onemind:", plain(err))
	if !used {
		fmt.Fprintln(errs, "Run 'onemind --help' for what it can do.")
		return exitUsage
	}
	return exitFailed
}

// plain says an error for people: a fault's sentence where there is one.
func plain(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind != fault.Internal {
		return f.Text
	}
	return err.Error()
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{Use: "onemind", Short: "Ask many AI models at once, pay exactly", SilenceErrors: true, SilenceUsage: true,
		Long: `OneMind asks several AI models at once and streams their answers side by side,
with prepaid credits, live-editable models and prices, and an OpenAI-compatible API.

  onemind serve                          start everything on http://localhost:8080
  onemind user create --email a@b.org --role admin
  onemind key create --user a@b.org      make an API key for the OpenAI SDK
  onemind credit grant --user a@b.org --credits 500 --reason "welcome"
  onemind doctor                         find out what is wrong

Commands work beside a running server. Exit codes: 0 done, 1 failed, 2 wrong call, 3 a check found a problem.`}
	flags := root.PersistentFlags()
	flags.StringVar(&c.file, "config", "", "YAML file with settings (names as in docs/configuration.md)")
	flags.BoolVar(&c.json, "json", false, "print JSON where there is output to read by a program")
	for _, s := range settings() {
		if s.flag != "" {
			flags.String(s.flag, "", s.help)
		}
	}
	root.AddCommand(c.serve(), c.migrate(), c.user(), c.key(), c.creditCommand(), c.receipt(), c.catalogCommand(), c.configCommand(), c.ledgerCommand(), c.doctor(), c.versionCommand())
	return root
}

// load resolves the settings for a command.
func (c *cli) load(cmd *cobra.Command) (*config, error) {
	given := map[string]string{}
	for _, s := range settings() {
		if f := cmd.Flag(s.flag); s.flag != "" && f != nil && f.Changed {
			given[s.flag] = f.Value.String()
		}
	}
	return load(c.file, given)
}

// with opens the books for one command and closes them after.
func (c *cli) with(act func(ctx context.Context, b *books, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, err := c.load(cmd)
		if err != nil {
			return err
		}
		b, err := open(cmd.Context(), cfg, false)
		if err != nil {
			return err
		}
		return errors.Join(act(cmd.Context(), b, args), b.close())
	}
}

// print writes v as JSON with --json, else the text.
func (c *cli) print(v any, text string) error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	_, err := fmt.Fprint(c.out, text)
	return err
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		v := map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
		return c.print(v, fmt.Sprintf("onemind %s (%s, %s)\n", version, v["go"], v["platform"]))
	}}
}
