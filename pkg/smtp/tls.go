package smtp

// TLSInfo is what log records say about an encrypted connection: the cipher and protocol version in KumoMTA's
// spelling (TLS_AES_256_GCM_SHA384, TLSv1.3) and the subject name of the peer's certificate as RDN strings.
type TLSInfo struct {
	Cipher          string
	ProtocolVersion string
	PeerSubject     []string
}
