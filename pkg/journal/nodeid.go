package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/google/uuid"
)

// DefaultNodeIDPath is where the node id is kept when KUMO_NODE_ID_PATH does not say otherwise.
const DefaultNodeIDPath = "/opt/kumomta/etc/.nodeid"

// NodeID is the UUID that names this node in log records. It comes from the environment variable KUMO_NODE_ID; else
// from the file that KUMO_NODE_ID_PATH names, or DefaultNodeIDPath; else it is worked out from the hardware, always
// the same, and kept in that file if the file's directory exists and can be written to. getenv is os.Getenv.
func NodeID(getenv func(string) string) (string, error) {
	if s := getenv("KUMO_NODE_ID"); s != "" {
		id, err := uuid.Parse(strings.TrimSpace(s))
		if err != nil {
			return "", fmt.Errorf("KUMO_NODE_ID=%q: want a UUID", s)
		}
		return id.String(), nil
	}
	path := getenv("KUMO_NODE_ID_PATH")
	asked := path != ""
	if !asked {
		path = DefaultNodeIDPath
	}
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		id, err := uuid.Parse(strings.TrimSpace(string(text)))
		if err != nil {
			return "", fmt.Errorf("node id file %s: want a UUID, not %.40q", path, text)
		}
		return id.String(), nil
	case asked && !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("node id file: %w", err)
	}
	id := deriveNodeID(hardware())
	if err := os.WriteFile(path, []byte(id+"\n"), 0o644); err != nil && asked {
		return "", fmt.Errorf("node id file: %w", err)
	}
	return id, nil
}

// deriveNodeID is a version 1 UUID (RFC 9562 5.1) whose time is fixed and whose node is the hardware's.
func deriveNodeID(node [6]byte) string {
	var id uuid.UUID
	id[6] = 0x10 // version 1
	id[8] = 0x80 // variant
	copy(id[10:], node[:])
	return id.String()
}

// hardware is six bytes that name this machine: the address of its first network interface that has one from a
// manufacturer, else of the first that has one, else a part of the hash of its machine id or name, marked as random
// (RFC 9562 6.10).
func hardware() [6]byte {
	var local, node [6]byte
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if len(i.HardwareAddr) != len(node) || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		copy(node[:], i.HardwareAddr)
		if node[0]&2 == 0 && node != [6]byte{} {
			return node
		}
		if local == [6]byte{} {
			local = node
		}
	}
	if local != [6]byte{} {
		return local
	}
	name, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		host, _ := os.Hostname()
		name = []byte(host)
	}
	sum := sha256.Sum256(append([]byte("kumo node "+hex.EncodeToString(name)), 0))
	copy(node[:], sum[:])
	node[0] |= 1
	return node
}
