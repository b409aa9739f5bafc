package upstream

import "time"

// window counts successes and failures of a recent span in ten slices, so that
// old ones fade. The span is the same at every call of its methods.
type window struct{ slices [10]slice }

type slice struct {
	number    int64 // which tenth of a span since 1970
	good, bad int
}

// add counts one.
func (w *window) add(now time.Time, span time.Duration, failed bool) {
	n := now.UnixNano() / int64(span/10)
	s := &w.slices[uint64(n)%10]
	if s.number != n {
		*s = slice{number: n}
	}
	if failed {
		s.bad++
	} else {
		s.good++
	}
}

// back takes one failure back that was just counted.
func (w *window) back(now time.Time, span time.Duration) {
	n := now.UnixNano() / int64(span/10)
	for i := range int64(10) { // it may stand in an older slice by now
		if s := &w.slices[uint64(n-i)%10]; s.number == n-i && s.bad > 0 {
			s.bad--
			return
		}
	}
}

// sum gives both counts of the span that ends now.
func (w *window) sum(now time.Time, span time.Duration) (good, bad int) {
	n := now.UnixNano() / int64(span/10)
	for i := range w.slices {
		if s := &w.slices[i]; s.number > n-10 && s.number <= n {
			good, bad = good+s.good, bad+s.bad
		}
	}
	return good, bad
}
