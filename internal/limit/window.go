package limit

import "time"

// Minute is the fixed window that slides, in milliseconds, the unit of its
// arithmetic.
const Minute = 60_000

// Window is one key at one moment: units of the last minute and of this one,
// and the milliseconds of this one that are gone. What is used, in units times
// milliseconds, is Last*(Minute-Gone) + Now*Minute: exact, nothing is rounded.
// Every limiter decides by it. Units times Minute must fit an int64.
type Window struct{ Last, Now, Gone int64 }

func (w Window) used() int64 { return w.Last*(Minute-w.Gone) + w.Now*Minute }

// Fits tells whether take more units stay within limit.
func (w Window) Fits(take, limit int64) bool { return w.used() <= (limit-take)*Minute }

// Free is how many whole units are left.
func (w Window) Free(limit int64) int64 { return max(0, limit*Minute-w.used()) / Minute }

// Reset is how long until nothing counts any more.
func (w Window) Reset() time.Duration {
	switch {
	case w.Now > 0:
		return time.Duration(2*Minute-w.Gone) * time.Millisecond
	case w.Last > 0:
		return time.Duration(Minute-w.Gone) * time.Millisecond
	}
	return 0
}

// Retry is how long until take fits, if nobody takes anything meanwhile. What
// can never fit is told to wait until everything else is gone.
func (w Window) Retry(take, limit int64) time.Duration {
	if take > limit {
		return w.Reset()
	}
	if room := limit - take - w.Now; room >= 0 { // later in this minute, as the last one slides out
		return time.Duration(slide(w.Last, room)-w.Gone) * time.Millisecond
	}
	return time.Duration(Minute-w.Gone+slide(w.Now, limit-take)) * time.Millisecond // in the next one
}

// slide is the first millisecond of a minute in which the units of the one
// before count for no more than room.
func slide(before, room int64) int64 {
	if before <= room {
		return 0
	}
	return Minute - room*Minute/before
}
