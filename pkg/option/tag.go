package option

import (
	"fmt"
	"strings"
)

// tag is a parsed `opt` tag.
type tag struct {
	name       string
	def        string
	hasDefault bool
	min, max   string
	enum       []string
	unit       string
	mergeMap   bool
	required   bool
	secret     bool
	since      string
	deprecated string
	aliases    []string
}

// parseTag reads the value of an `opt` tag.
func parseTag(text string) (tag, error) {
	parts := strings.Split(text, ",")
	t := tag{name: parts[0]}
	if !validName(t.name) {
		return t, fmt.Errorf("bad option name %q", t.name)
	}
	for _, p := range parts[1:] {
		key, val, hasVal := strings.Cut(p, "=")
		if err := t.set(key, val, hasVal); err != nil {
			return t, err
		}
	}
	if t.required && t.hasDefault {
		return t, fmt.Errorf("%s: required and default exclude each other", t.name)
	}
	return t, nil
}

func (t *tag) set(key, val string, hasVal bool) error {
	switch key {
	case "required", "secret":
		if hasVal {
			return fmt.Errorf("%s: %s takes no value", t.name, key)
		}
		t.required = t.required || key == "required"
		t.secret = t.secret || key == "secret"
		return nil
	case "default":
		t.def, t.hasDefault = val, hasVal
	case "min":
		t.min = val
	case "max":
		t.max = val
	case "enum":
		t.enum = strings.Split(val, "|")
	case "unit":
		if val != "s" && val != "bytes" {
			return fmt.Errorf("%s: unit %q is neither s nor bytes", t.name, val)
		}
		t.unit = val
	case "merge":
		if val != "map" {
			return fmt.Errorf("%s: merge=%q is not map", t.name, val)
		}
		t.mergeMap = true
	case "since":
		t.since = val
	case "deprecated":
		t.deprecated = val
	case "alias":
		t.aliases = append(t.aliases, val)
	default:
		return fmt.Errorf("%s: unknown word %q in tag", t.name, key)
	}
	if !hasVal || (val == "" && key != "default") {
		return fmt.Errorf("%s: %s needs a value", t.name, key)
	}
	return nil
}

func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return s != ""
}
