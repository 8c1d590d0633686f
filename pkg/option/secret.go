package option

import (
	"encoding/json"
	"fmt"
	"io"
)

// SecretKind says where a Secret is found.
type SecretKind string

const (
	SecretNone  SecretKind = ""      // not set
	SecretFile  SecretKind = "file"  // Path
	SecretData  SecretKind = "data"  // KeyData
	SecretVault SecretKind = "vault" // VaultMount, VaultPath, VaultKey
	SecretEvent SecretKind = "event" // EventName, EventArgs
)

// Secret refers to key material (KumoMTA's keysource); it does not fetch it. An option gives a path, or a table:
// {key_data=…}, {vault_mount=…, vault_path=…, vault_key="key", vault_address=$VAULT_ADDR, vault_token=$VAULT_TOKEN},
// {event_name=…, event_args=…}. However it is printed, neither KeyData nor VaultToken appears.
type Secret struct {
	Kind         SecretKind
	Path         string // of a local file
	KeyData      string // the material itself, text or bytes
	VaultMount   string // HashiCorp Vault KV v2
	VaultPath    string
	VaultKey     string // the entry in the secret; "key" when not given
	VaultAddress string // "" = $VAULT_ADDR
	VaultToken   string // "" = $VAULT_TOKEN
	EventName    string // a Lua callback that returns the material
	EventArgs    any
}

// IsZero tells that no secret is set.
func (s Secret) IsZero() bool { return s.Kind == SecretNone }

// DecodeOption reads one of the four shapes.
func (s *Secret) DecodeOption(v any) error {
	if path, ok := v.(string); ok {
		if path == "" {
			return &Error{Msg: "invalid value: an empty path, expected a key source"}
		}
		*s = Secret{Kind: SecretFile, Path: path}
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return InvalidType(v, "a key source: a path, or a table with key_data, vault_mount or event_name")
	}
	var d Secret
	switch {
	case m["key_data"] != nil:
		d.Kind = SecretData
	case m["vault_mount"] != nil || m["vault_path"] != nil:
		d.Kind, d.VaultKey = SecretVault, "key"
	case m["event_name"] != nil:
		d.Kind = SecretEvent
	default:
		return secretError("invalid value: a table without key_data, vault_mount or event_name, expected a key source")
	}
	if err := d.read(m); err != nil {
		return err
	}
	*s = d
	return nil
}

// secretError is an error whose text contains no value and so survives redaction.
func secretError(msg string) *Error { return &Error{Msg: msg, safe: msg} }

// read takes the entries of the table that belong to the kind; any other is an error.
func (s *Secret) read(m map[string]any) error {
	into := map[string]*string{}
	var needed []string
	switch s.Kind {
	case SecretData:
		into["key_data"] = &s.KeyData
	case SecretVault:
		into["vault_mount"], into["vault_path"], into["vault_key"] = &s.VaultMount, &s.VaultPath, &s.VaultKey
		into["vault_address"], into["vault_token"] = &s.VaultAddress, &s.VaultToken
		needed = []string{"vault_mount", "vault_path"}
	case SecretEvent:
		into["event_name"] = &s.EventName
		s.EventArgs = m["event_args"]
	}
	for _, k := range sortedKeys(m) {
		if m[k] == nil || (k == "event_args" && s.Kind == SecretEvent) {
			continue
		}
		p, ok := into[k]
		if !ok {
			return secretError("invalid value: unknown field `" + cut(k) + "` in a key source of kind " + string(s.Kind))
		}
		if *p, ok = m[k].(string); !ok {
			return secretError("invalid type: " + kindOf(m[k]) + ", expected a string for `" + k + "`")
		}
	}
	for _, k := range needed {
		if *into[k] == "" {
			return secretError("missing field `" + k + "` of a key source")
		}
	}
	return nil
}

// String says where the secret is found, never what it is.
func (s Secret) String() string {
	switch s.Kind {
	case SecretFile:
		return s.Path
	case SecretData:
		return "(key_data)"
	case SecretVault:
		return "vault:" + s.VaultMount + "/" + s.VaultPath + "#" + s.VaultKey
	case SecretEvent:
		return "event:" + s.EventName
	}
	return ""
}

// Format prints String for every verb, so that %+v and %#v do not show the material either.
func (s Secret) Format(w fmt.State, verb rune) {
	if verb == 'q' {
		fmt.Fprintf(w, "%q", s.String())
		return
	}
	_, _ = io.WriteString(w, s.String())
}

// MarshalJSON is String as JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// EncodeOption is the reference without its material: a path, or a table.
func (s Secret) EncodeOption() any {
	switch s.Kind {
	case SecretFile:
		return s.Path
	case SecretData:
		return map[string]any{"key_data": "(secret)"}
	case SecretVault:
		return map[string]any{"vault_mount": s.VaultMount, "vault_path": s.VaultPath, "vault_key": s.VaultKey}
	case SecretEvent:
		return map[string]any{"event_name": s.EventName, "event_args": s.EventArgs}
	}
	return nil
}

// OptionType names the type in the manual.
func (s *Secret) OptionType() string { return "keysource" }
