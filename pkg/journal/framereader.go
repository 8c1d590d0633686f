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

var errLongLine = errors.New("a line is longer than 16 MiB")

// frameReader decodes frames into lines with memory that does not grow with the frame.
type frameReader struct {
	dec  *zstd.Decoder
	buf  *bufio.Reader
	long []byte
	err  error // of the line after this one
	cut  bool  // the last line had no line end
}

func (r *frameReader) close() {
	if r.dec != nil {
		r.dec.Close()
	}
}

// lines gives the lines of the frame in f[start:end], without their line ends. A line is good until the next one.
func (r *frameReader) lines(f io.ReaderAt, start, end int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := r.begin(f, start, end)
		for err == nil {
			var line []byte
			if line, err = r.next(); err == nil && !yield(line, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

// begin makes next give the lines of the frame in f[start:end].
func (r *frameReader) begin(f io.ReaderAt, start, end int64) error {
	r.long, r.err, r.cut = r.long[:0], nil, false
	return r.reset(io.NewSectionReader(f, start, end-start))
}

// next is the next line that is not empty, without its line end and good until the next call; io.EOF after the last.
func (r *frameReader) next() ([]byte, error) {
	for r.err == nil {
		line, err := r.buf.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			line, err = r.join(line)
		}
		r.err, r.cut = err, err != nil
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return line, nil
		}
	}
	return nil, r.err
}

// join reads on after the first part of a line that is longer than the buffer.
func (r *frameReader) join(part []byte) ([]byte, error) {
	r.long = r.long[:0]
	for {
		if r.long = append(r.long, part...); len(r.long) > maxLine {
			return nil, errLongLine
		}
		var err error
		if part, err = r.buf.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			r.long = append(r.long, part...)
			return r.long, err
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
