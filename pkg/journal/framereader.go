package journal

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxLine bounds one line that is read back.
	maxLine = 16 << 20
	// maxWindow bounds what a frame may ask the decoder to remember.
	maxWindow = 128 << 20
)

// frameReader decodes frames into lines with memory that does not grow with the frame.
type frameReader struct {
	dec *zstd.Decoder
	buf *bufio.Reader
}

func (r *frameReader) close() {
	if r.dec != nil {
		r.dec.Close()
	}
}

// lines gives the lines of the frame in f[start:end], without their line ends. A line is good until the next one.
func (r *frameReader) lines(f io.ReaderAt, start, end int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := r.reset(io.NewSectionReader(f, start, end-start)); err != nil {
			yield(nil, err)
			return
		}
		var long []byte
		for {
			part, err := r.buf.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				if long = append(long, part...); len(long) > maxLine {
					yield(nil, errors.New("a line is longer than 16 MiB"))
					return
				}
				continue
			}
			if len(long) > 0 {
				part = append(long, part...)
				long = part[:0]
			}
			if line := bytes.TrimRight(part, "\r\n"); len(line) > 0 {
				if !yield(line, nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

func (r *frameReader) reset(src io.Reader) error {
	if r.dec == nil {
		dec, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		r.dec = dec
		r.buf = bufio.NewReaderSize(dec, 64<<10)
		return nil
	}
	if err := r.dec.Reset(src); err != nil {
		return err
	}
	r.buf.Reset(r.dec)
	return nil
}
