package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestSignV4 is the example "GET object" of Amazon's documentation of Signature Version 4.
func TestSignV4(t *testing.T) {
	c := Credentials{AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: "s3"}
	s := c.SignV4("GET", "/test.txt", nil, map[string]string{
		"Host": "examplebucket.s3.amazonaws.com", "Range": "bytes=0-9",
		"x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	}, nil, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	if s.Hex != "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" || s.Signed != "host;range;x-amz-content-sha256;x-amz-date" {
		t.Errorf("%s\n%s", s.Authorization, s.Canonical)
	}
	if got := awsQuery(url.Values{"b": {"x y"}, "a": {"~/"}}); got != "a=~%2F&b=x%20y" {
		t.Error(got)
	}
}

func TestClientIsBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/huge":
			for range MaxBody>>20 + 1 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		case "/slow":
			<-r.Context().Done()
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		default:
			_, _ = w.Write([]byte("ok " + r.UserAgent()))
		}
	}))
	defer s.Close()
	c := New(Options{UserAgent: "test/1"})
	defer c.Close()
	get := func(url string, timeout time.Duration) (*Response, error) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Do(t.Context(), req, timeout)
	}
	if r, err := get(s.URL, time.Minute); err != nil || string(r.Body) != "ok test/1" || r.Status != 200 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := get(s.URL+"/huge", time.Minute); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
	if _, err := get(s.URL+"/slow", 20*time.Millisecond); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Error(err)
	}
	for _, url := range []string{s.URL + "/metadata", "http://[fe80::1%25lo]/", "http://169.254.1.1/"} {
		if _, err := get(url, time.Minute); !errors.Is(err, errLinkLocal) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
