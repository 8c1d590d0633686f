package throttle

// Bound makes a store hold at most n buckets, so that tests need not fill a million.
func (l *Local) Bound(n int) {
	for i := range l.shards {
		l.shards[i].most = n / shardCount
	}
}
