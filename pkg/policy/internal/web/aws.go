package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Credentials sign requests for Amazon's services.
type Credentials struct {
	AccessKey, SecretKey, SessionToken string
	Region, Service                    string
}

// Signature is what AWS Signature Version 4 makes of a request.
type Signature struct {
	Authorization string
	Date          string // X-Amz-Date
	PayloadHash   string // X-Amz-Content-Sha256
	Canonical     string // the canonical request
	Signed        string // names of the headers, with semicolons between
	Hex           string // the signature itself
}

// SignV4 signs a request (AWS Signature Version 4). headers have lower case names and must have host; x-amz-date is added.
func (c Credentials) SignV4(method, path string, query url.Values, headers map[string]string, payload []byte, now time.Time) Signature {
	date := now.UTC().Format("20060102T150405Z")
	hash := sha256.Sum256(payload)
	s := Signature{Date: date, PayloadHash: hex.EncodeToString(hash[:])}
	all := map[string]string{"x-amz-date": date}
	for k, v := range headers {
		all[strings.ToLower(k)] = strings.Join(strings.Fields(v), " ")
	}
	if c.SessionToken != "" {
		all["x-amz-security-token"] = c.SessionToken
	}
	names := make([]string, 0, len(all))
	for k := range all {
		names = append(names, k)
	}
	slices.Sort(names)
	var lines strings.Builder
	for _, k := range names {
		lines.WriteString(k + ":" + all[k] + "\n")
	}
	s.Signed = strings.Join(names, ";")
	s.Canonical = strings.Join([]string{method, awsPath(path), awsQuery(query), lines.String(), s.Signed, s.PayloadHash}, "\n")
	scope := date[:8] + "/" + c.Region + "/" + c.Service + "/aws4_request"
	sum := sha256.Sum256([]byte(s.Canonical))
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	key := mac([]byte("AWS4"+c.SecretKey), date[:8])
	for _, part := range []string{c.Region, c.Service, "aws4_request"} {
		key = mac(key, part)
	}
	s.Hex = hex.EncodeToString(mac(key, toSign))
	s.Authorization = "AWS4-HMAC-SHA256 Credential=" + c.AccessKey + "/" + scope + ", SignedHeaders=" + s.Signed + ", Signature=" + s.Hex
	return s
}

// Sign puts the signature of a request with that payload into its headers.
func (c Credentials) Sign(r *http.Request, payload []byte, now time.Time) {
	headers := map[string]string{"host": r.URL.Host}
	for _, k := range []string{"Content-Type"} {
		if v := r.Header.Get(k); v != "" {
			headers[strings.ToLower(k)] = v
		}
	}
	for k := range r.Header {
		if l := strings.ToLower(k); strings.HasPrefix(l, "x-amz-") && l != "x-amz-date" {
			headers[l] = r.Header.Get(k)
		}
	}
	hash := sha256.Sum256(payload)
	headers["x-amz-content-sha256"] = hex.EncodeToString(hash[:])
	s := c.SignV4(r.Method, r.URL.EscapedPath(), r.URL.Query(), headers, payload, now)
	r.Header.Set("X-Amz-Date", s.Date)
	r.Header.Set("X-Amz-Content-Sha256", s.PayloadHash)
	if c.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken)
	}
	r.Header.Set("Authorization", s.Authorization)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

func awsPath(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// awsQuery writes parameters in the order of their names, escaped as AWS does it.
func awsQuery(q url.Values) string {
	var parts []string
	for k, values := range q {
		for _, v := range values {
			parts = append(parts, awsEscape(k)+"="+awsEscape(v))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

func awsEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
