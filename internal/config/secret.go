package config

import (
	"fmt"
	"log/slog"
	"strings"
)

// maxSecret bounds a secret's file; the largest, a private key, has 4 KiB.
const maxSecret = 64 << 10

const masked = "[secret]"

// Secret is text that must not be shown: it prints, logs and encodes as a mask.
type Secret struct{ text string }

// ReadSecret reads a *_file: its content without the line end editors add.
func ReadSecret(path string) (Secret, error) {
	text, err := readCapped(path, maxSecret)
	if err != nil {
		return Secret{}, fmt.Errorf("config: secret: %w", err)
	}
	s := strings.TrimRight(string(text), "\r\n")
	if s == "" {
		return Secret{}, fmt.Errorf("config: secret: %s is empty", path)
	}
	return Secret{s}, nil
}

// Reveal returns the text for the one call that needs it.
func (s Secret) Reveal() string { return s.text }

func (s Secret) String() string   { return masked }
func (s Secret) GoString() string { return masked }

// LogValue keeps the text out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText keeps the text out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }
