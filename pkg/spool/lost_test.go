package spool_test

import (
	"os"
	"path/filepath"
	"testing"

	"kumo/pkg/spool"
)

// TestAStartKeepsWhatIsLost: a segment that somebody removed is not forgotten when the next owner brings its index up
// to date: what was known of its mail is kept, and told until somebody removes the file.
func TestAStartKeepsWhatIsLost(t *testing.T) {
	for name, which := range map[string]func(n int) int{
		"oldest": func(int) int { return 0 }, "middle": func(n int) int { return n / 2 }, "newest": func(n int) int { return n - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := storehouse(t, 40)
			files := segFiles(t, dir)
			if err := os.Remove(files[which(len(files))]); err != nil {
				t.Fatal(err)
			}
			want := checked(t, dir, spool.CheckOptions{}).Lost
			for range 2 { // a second start finds nothing new
				s := openSmall(t, dir)
				live := s.Len()
				indexed(t, dir, live)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				r := checked(t, dir, spool.CheckOptions{})
				if want == 0 || r.Lost != want || r.Sound() || r.Live != live {
					t.Fatalf("%d are lost, %d live; want %d: %s", r.Lost, r.Live, want, kinds(&r))
				}
				for _, f := range r.Findings {
					if f.Lost && (f.Message == nil || len(f.Message.Recipients) == 0) {
						t.Errorf("without envelope: %+v", f)
					}
				}
			}
			kept, err := filepath.Glob(filepath.Join(dir, "damaged", "lost-*.jsonl"))
			if err != nil || len(kept) != 1 {
				t.Fatalf("files: %v, %v", kept, err)
			}
			if st, err := os.Stat(kept[0]); err != nil || st.Mode() != 0o600 {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
			if named, err := spool.LostMail(dir); err != nil || len(named) != want {
				t.Errorf("%d named, %v", len(named), err)
			}
			if err := os.Remove(kept[0]); err != nil {
				t.Fatal(err)
			}
			if r := checked(t, dir, spool.CheckOptions{}); r.Lost != 0 {
				t.Errorf("still %d lost: %s", r.Lost, kinds(&r))
			}
		})
	}
}
