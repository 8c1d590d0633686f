// Package cache holds named caches with a time to live and a bound on their size, measured in one place.
package cache
