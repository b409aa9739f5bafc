package wire

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/llm"
)

func TestPublic(t *testing.T) {
	for _, tt := range []struct {
		want      bool
		addresses []string
	}{
		{true, []string{"8.8.8.8", "1.1.1.1", "104.18.6.192", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "192.0.1.1", "192.169.0.1",
			"198.17.255.255", "198.20.0.1", "203.0.112.1", "223.255.255.255", "169.253.1.1", "11.0.0.1", "2606:4700::6810:6c0", "2a00:1450:4001:800::200e",
			"2001:4860:4860::8888", "2001:200::1", "2400:cb00::1", "::ffff:8.8.8.8"}},
		{false, []string{"127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
			"169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.0.170", "192.0.2.1",
			"192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
			"::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8",
			"64:ff9b:1::1", "100::1", "2001::1", "2001:0:53aa:64c:0:1::", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::", "3fff::1", "fc00::1", "fd00::1",
			"fd00:ec2::254", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1", "4000::1", "5f00::1", "2606:4700::1%eth0"}},
	} {
		for _, s := range tt.addresses {
			if got := public(netip.MustParseAddr(s)); got != tt.want {
				t.Errorf("public(%s) = %v", s, got)
			}
		}
	}
	if public(netip.Addr{}) {
		t.Error("the zero address is public")
	}
	for _, address := range []string{"127.0.0.1:80", "[::1]:443", "not an address"} {
		if guard("tcp", address, nil) == nil {
			t.Errorf("%s may be dialed", address)
		}
	}
	if err := guard("tcp", "[2606:4700::1]:443", nil); err != nil {
		t.Error(err)
	}
}

// canary is a provider's key that must not be seen anywhere.
const canary = "sk-canary-2f6b1d"

// inside is a server in our own network, on every address of this machine.
type inside struct {
	port    string
	accepts atomic.Int64
}

func (i *inside) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	_, i.port, _ = net.SplitHostPort(listener.Addr().String())
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(counted{listener, &i.accepts})
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// counted counts connections, also those on which nothing comes.
type counted struct {
	net.Listener
	accepts *atomic.Int64
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.accepts.Add(1)
	}
	return conn, err
}

// call makes one call to a base URL.
func call(t *testing.T, c *Client, base string, private bool) error {
	t.Helper()
	to := &llm.Target{Provider: "p", BaseURL: base, Key: llm.NewKey(canary), Upstream: "m", AllowPrivate: private,
		Timeouts: llm.Timeouts{Connect: 10 * time.Second, FirstToken: 20 * time.Second, Idle: 10 * time.Second}}
	k, err := c.Start(t.Context(), to, Post{Path: "/chat/completions", Body: []byte("{}")})
	if err == nil {
		k.Close()
	}
	return err
}

// refusedBeforeDialing wants a failure that blames the address and not the key.
func refusedBeforeDialing(t *testing.T, base string, err error) {
	t.Helper()
	var f *llm.Failure
	if !errors.As(err, &f) || f.Class != llm.Unreachable {
		t.Errorf("%s: %v, want %v", base, err, llm.Unreachable)
		return
	}
	if said := fmt.Sprintf("%v %+v %#v %s", err, f, f, f.Text); strings.Contains(said, canary) {
		t.Errorf("%s: the key is in %s", base, said)
	}
}

// numbers are IPv4 addresses of this machine as the C library reads them. Go's
// own resolver takes them for names that cannot exist.
func numbers() []string {
	return []string{
		"2130706433", "017700000001", "0", "00", // one number, decimal and octal
		"127.1", "127.0.1", "0177.0.0.1", "0177.1", "0177.0000.0000.0001", "127.000.000.001", "127.00.0.1", "127.0.0.1.", // short, octal, zeros, a dot
	}
}

// spellings are hosts that somebody reads as this machine: all of them lead to
// the server inside when private addresses are allowed, if not by their own
// meaning then by that of the resolver.
func spellings() []string {
	return []string{
		"127.0.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]", "[0:0:0:0:0:ffff:127.0.0.1]", // IPv4-mapped
		"0.0.0.0", "[::]", "[0:0:0:0:0:0:0:0]", "[::ffff:0.0.0.0]", // this host
		"0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0.0.1", "127.0x0.0.01", "0x0", // hexadecimal
		"localhost", "LOCALHOST", "LocalHost.", "localhost.localdomain", "foo.localhost", "ip6-localhost", "ip6-loopback", "localtest.me", "127.0.0.1.nip.test",
		"①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "locaⅼhost", "𝟙𝟚𝟟.𝟘.𝟘.𝟙", // what IDNA maps to ASCII
		"public.example@127.0.0.1", "public.example:443@127.0.0.1", "api.openai.com%2f@127.0.0.1", "user:pass@localhost", "8.8.8.8%40x@[::1]", // userinfo
		"many.test", "rebound.test", "RAW.GitHubUserContent.test",
	}
}

// blocks are addresses of every block that IANA keeps for something else than
// the public internet (RFC 6890 and the registries since), and what embeds them.
func blocks() []string {
	return []string{
		"0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.2", "127.255.255.254", "169.254.0.1", "172.16.0.1", "172.31.255.254",
		"192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "8.8.8.8@192.168.0.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.254",
		"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
		"169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "[fd00:ec2::254]", "[fd20:ce::254]", "metadata.google.internal", "instance-data.ec2.internal", // metadata of clouds
		"[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::ffff:0:127.0.0.1]", "[::ffff:0:7f00:1]", // mapped, and translated (SIIT)
		"[::127.0.0.1]", "[::10.0.0.1]", "[::a9fe:a9fe]", "[::2]", // IPv4-compatible
		"[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::0a00:0001]", "[64:ff9b:1::127.0.0.1]", "[64:ff9b:1:fffe::a9fe:a9fe]", // NAT64
		"[2002:7f00:1::1]", "[2002:a9fe:a9fe::]", "[2002:c0a8:101::1]", "[2001:0:7f00:1::]", "[2001:0:53aa:64c:0:fffe:80ff:fffe]", // 6to4, Teredo
		"[2001:1::1]", "[2001:2::1]", "[2001:3::1]", "[2001:10::1]", "[2001:20::1]", "[2001:30::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[100:0:0:1::1]",
		"[5f00::1]", "[fc00::1]", "[fd00::1]", "[fdff:ffff::1]", "[fe80::1]", "[febf::1]", "[fec0::1]", "[ff02::1]", "[ff0e::1]", "[4000::1]",
		"[fe80::1%25lo]", "[fe80::1%25eth0]", "[::1%25lo]", "[2606:4700::1%25lo]", "[2606:4700::1%251]", // zones
		"10.0.0.1.nip.test", "172.16.9.9.nip.test", "192.168.0.1.nip.test", "169.254.169.254.nip.test", "100.64.1.1.nip.test", "0.0.0.0.nip.test", // names
		"fd00--1.six.test", "fe80--1.six.test", "--1.six.test", "--ffff-a00-1.six.test", "64-ff9b--a9fe-a9fe.six.test", "2002-7f00-1--.six.test",
		"167772161", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "0xa.0.0.1", "10.1", "192.168.257", "①⑥⑨.②⑤④.①⑥⑨.②⑤④", // the same as numbers
	}
}

// unreadable are base URLs that are none, some of which other parsers take for
// URLs of this machine.
func unreadable(port string) []string {
	urls := []string{"", "http://", "http:127.0.0.1", "//127.0.0.1", "127.0.0.1", "http:///127.0.0.1", "file:///etc/passwd", "gopher://127.0.0.1", "ftp://127.0.0.1",
		"unix:///var/run/docker.sock", "dict://localhost", "jar:http://127.0.0.1!/", "data:,x", "javascript:0"}
	for _, host := range []string{"127.0.0.%31", "%31%32%37.0.0.1", "%6c%6f%63alhost", "127%2e0%2e0%2e1", "[::1", "::1]", "[127.0.0.1]x", "[[::1]]", "public.example\\@127.0.0.1",
		"127.0.0.1 ", "127.0.0.1\t", "127.0.0.1\r\nHost: x", "public.example\x00.127.0.0.1", "[::1%lo]", "<127.0.0.1>"} {
		urls = append(urls, "http://"+host+":"+port)
	}
	return urls
}

// Whatever leads to an address that is not public is refused before a packet
// leaves, through the very dialer that calls go through; and most of the table
// does lead to a server that listens here, as it shows when that is allowed.
func TestPrivateAddressesAreNotDialed(t *testing.T) {
	evilNames(t)
	var server inside
	server.listen(t)
	client := New(Options{})
	defer client.Close()
	hosts := slices.Concat(spellings(), numbers(), blocks(), []string{"4294967297", "383.0.0.1"})
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses { // this machine's own, inside the network it stands in
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !public(prefix.Addr()) {
			hosts = append(hosts, "["+prefix.Addr().Unmap().String()+"]")
			if prefix.Addr().Is4() {
				hosts[len(hosts)-1] = prefix.Addr().String()
			}
		}
	}
	for _, host := range hosts {
		for _, scheme := range []string{"http", "https", "HTTP"} {
			base := scheme + "://" + host + ":" + server.port + "/v1"
			refusedBeforeDialing(t, base, call(t, client, base, false))
		}
	}
	for _, base := range unreadable(server.port) {
		refusedBeforeDialing(t, base, call(t, client, base, false))
	}
	if n := server.accepts.Load(); n != 0 {
		t.Errorf("%d connections reached the server inside", n)
	}
	for _, host := range spellings() { // or the table proves nothing
		if err := call(t, client, "http://"+host+":"+server.port+"/v1", true); err != nil {
			t.Errorf("%s does not lead here when private addresses are allowed: %v", host, err)
		}
	}
	if server.accepts.Load() == 0 {
		t.Error("the server inside cannot be reached at all")
	}
}

// The same for what the system's own resolver makes of numbers and of the file
// of hosts. None of them is asked of the network.
func TestNumbersAreNotDialed(t *testing.T) {
	var server inside
	server.listen(t)
	client := New(Options{})
	defer client.Close()
	for _, host := range append(numbers(), "localhost") {
		base := "http://" + host + ":" + server.port
		refusedBeforeDialing(t, base, call(t, client, base, false))
	}
	if n := server.accepts.Load(); n != 0 {
		t.Errorf("%d connections reached the server inside", n)
	}
}

// A connection that one provider was allowed to make is not lent to another that
// was not.
func TestPrivateConnectionsAreNotShared(t *testing.T) {
	var server inside
	server.listen(t)
	client := New(Options{})
	defer client.Close()
	base := "http://127.0.0.1:" + server.port
	if err := call(t, client, base, true); err != nil {
		t.Fatal(err)
	}
	before := server.accepts.Load()
	refusedBeforeDialing(t, base, call(t, client, base, false))
	if server.accepts.Load() != before {
		t.Error("a connection was made")
	}
}

// A redirect is not followed, wherever it points: the key would go with it.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var target inside
	target.listen(t)
	client := New(Options{})
	defer client.Close()
	for _, status := range []int{201, 202, 300, 301, 302, 303, 304, 305, 307, 308} {
		for _, location := range []string{"http://127.0.0.1:", "http://localhost:", "//[::1]:", "http://2130706433:"} {
			var calls atomic.Int64
			outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				w.Header().Set("Location", location+target.port+"/")
				w.Header().Set("Content-Location", location+target.port+"/")
				w.Header().Set("Refresh", "0;url="+location+target.port+"/")
				w.Header().Set("Alt-Svc", `h2=":`+target.port+`"`)
				w.WriteHeader(status)
			}))
			err := call(t, client, outside.URL, true)
			outside.Close()
			var f *llm.Failure
			if !errors.As(err, &f) || f.Class != llm.Broken || strings.Contains(fmt.Sprintf("%v %+v", err, f), canary) {
				t.Errorf("%d to %s: %v", status, location, err)
			}
			if calls.Load() != 1 {
				t.Errorf("%d to %s: %d calls", status, location, calls.Load())
			}
		}
	}
	if n := target.accepts.Load(); n != 0 {
		t.Errorf("%d connections followed", n)
	}
}

// The environment's proxy is not asked: it would see keys, and dial for us.
func TestNoProxy(t *testing.T) {
	var proxy inside
	proxy.listen(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.1:"+proxy.port)
	}
	client := New(Options{})
	defer client.Close()
	for _, base := range []string{"http://203.0.113.1", "https://203.0.113.1", "http://10.0.0.1"} {
		refusedBeforeDialing(t, base, call(t, client, base, false))
	}
	if n := proxy.accepts.Load(); n != 0 {
		t.Errorf("%d connections to the proxy", n)
	}
}
