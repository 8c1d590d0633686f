package node

import "log/slog"

// seats is how many connections each of n SMTP listeners may have open at once when the process may have so many
// files: together they get half. The rest stays for the spool, the logs and the way out. Without it, peers that only
// connect and wait could keep mail that was accepted from being stored, logged and sent. 0 files: not known.
func seats(want, n int, files uint64) int {
	if files == 0 {
		return want
	}
	return max(1, int(min(uint64(want), files/2/uint64(n))))
}

// limitSeats is seats for the max_connections of one listener, and says when it is less than was asked for.
func limitSeats(log *slog.Logger, listen string, want, n int, files uint64) int {
	have := seats(want, n, files)
	if have < want {
		log.Info("max_connections is lowered: the limit of open files is too small for it",
			"listen", listen, "max_connections", want, "used", have, "open_files", files)
	}
	return have
}
