// Package vault reads secrets from HashiCorp Vault's key-value store, version 2, over HTTP.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// Bounds of one request.
const (
	timeout   = 10 * time.Second
	maxAnswer = 4 << 20
)

// Client asks Vault servers. The zero value works.
type Client struct {
	// Transport is how requests are sent; nil is a transport of its own.
	Transport http.RoundTripper
}

// Secret is one entry of the secret at mount and path, in its latest version. Errors name the server and the place, never
// the token or what was found there.
func (c *Client) Secret(ctx context.Context, addr, token, mount, place, key string) ([]byte, error) {
	where := fmt.Sprintf("vault %s: %s in %s/%s", addr, key, mount, place)
	u, err := url.Parse(addr)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("vault address %q is no URL such as https://vault.example.com:8200: set vault_address or VAULT_ADDR", clean(addr))
	}
	if token == "" {
		return nil, fmt.Errorf("%s: no token: set vault_token or VAULT_TOKEN", where)
	}
	u.Path = path.Join("/", u.Path, "v1", mount, "data", place)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	value, err := c.ask(req, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return value, nil
}

// clean keeps user information in a URL out of errors.
func clean(addr string) string {
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return "…" + addr[i:]
	}
	return addr
}

var errElsewhere = errors.New("it redirects to another host, where the token does not go")

func (c *Client) ask(req *http.Request, key string) ([]byte, error) {
	h := http.Client{Transport: c.Transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if next.URL.Host != via[0].URL.Host || next.URL.Scheme != via[0].URL.Scheme || len(via) > 3 {
			return errElsewhere
		}
		return nil
	}}
	resp, err := h.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which is said already
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(resp.StatusCode, body)
	}
	return entry(body, key)
}

// refusal says what a status means.
func refusal(status int, body []byte) error {
	var a struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(body, &a)
	why := strings.Join(a.Errors, ", ")
	switch {
	case why != "":
	case status == http.StatusNotFound:
		why = "there is no such secret, or its latest version is deleted"
	case status == http.StatusForbidden:
		why = "the token may not read it"
	case status == http.StatusServiceUnavailable:
		why = "it is sealed or in maintenance"
	default:
		why = http.StatusText(status)
	}
	if len(why) > 200 {
		why = why[:200] + "…"
	}
	return fmt.Errorf("status %d: %s", status, why)
}

// entry takes one entry out of the answer.
func entry(body []byte, key string) ([]byte, error) {
	var a struct {
		Data struct {
			Data map[string]json.RawMessage `json:"data"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &a) != nil || a.Data.Data == nil {
		return nil, errors.New("the answer is not that of a key-value store of version 2")
	}
	raw, ok := a.Data.Data[key]
	if !ok {
		return nil, fmt.Errorf("the secret has no entry %q: vault_key names it", key)
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return []byte(s), nil
	}
	return nil, fmt.Errorf("the entry %q is no string", key)
}
