package spool

import (
	"fmt"

	"kumo/pkg/option"
)

// Options is kumo.define_spool. The spool lives whole under the path of the spool named "data"; the one named
// "meta" is accepted because KumoMTA's policies define it, and is not used.
type Options struct {
	// Which spool this defines: "data" holds everything, "meta" is accepted and not used.
	Name string `opt:"name,required,enum=data|meta"`
	// The directory. It is made if it does not exist.
	Path string `opt:"path,required"`
	// KumoMTA's storage engines. Both mean kumo's own spool, a segment log.
	Kind string `opt:"kind,default=LocalDisk,enum=LocalDisk|RocksDB"`
	// Accepted with both values: kumo's spool is always durable before it acknowledges.
	Flush bool `opt:"flush,default=false"`
	// Below so many free bytes, or so many percent of the file system, reception is refused with 421 and 503.
	MinFreeSpace option.Amount `opt:"min_free_space,default=10%"`
	// Below so many free inodes, or so many percent of them, reception is refused with 421 and 503. File systems
	// without a fixed number of inodes are never short of them.
	MinFreeInodes option.Amount `opt:"min_free_inodes,default=10%"`
	// How long a bounce of queued mail can be undone. Until then its messages wait in the trash, which is emptied earlier
	// when space is shorter than min_free_space. 0 lets bounces end mail at once.
	TrashKeep option.Duration `opt:"trash_keep,default=1h"`
	// Tuning of RocksDB: accepted and ignored.
	RocksParams map[string]any `opt:"rocks_params"`
}

// Check refuses an empty path.
func (o *Options) Check() error {
	if o.Path == "" {
		return fmt.Errorf("path of spool %q is empty: name a directory", o.Name)
	}
	return nil
}
