import { useCallback, useEffect, useRef, useState, type RefObject } from "react";

const near = 32;

/**
 * Keeps a scroller at its end while it grows, but only while the reader is there. Any scroll
 * upwards lets go; coming back to the end takes hold again.
 */
export function useStick(scroller: RefObject<HTMLElement | null>, content: RefObject<HTMLElement | null>, enabled = true, growing = true) {
  const stuck = useRef(growing);
  const until = useRef(0);
  // The layout still settles for a moment after the last word.
  if (growing) until.current = Infinity;
  else if (until.current === Infinity) until.current = performance.now() + 600;
  const [away, setAway] = useState(false);

  const jump = useCallback(() => {
    stuck.current = true;
    setAway(false);
    const el = scroller.current;
    if (el) el.scrollTop = el.scrollHeight;
  }, [scroller]);

  useEffect(() => {
    const el = scroller.current;
    const inner = content.current;
    if (!el || !inner || !enabled) return;
    let top = el.scrollTop;
    const onScroll = () => {
      const atEnd = el.scrollHeight - el.scrollTop - el.clientHeight < near;
      if (atEnd) stuck.current = true;
      else if (el.scrollTop < top - 1) stuck.current = false;
      top = el.scrollTop;
      setAway(!stuck.current && !atEnd);
    };
    const onWheel = (event: WheelEvent) => {
      if (event.deltaY < 0 && el.scrollHeight > el.clientHeight) stuck.current = false;
    };
    const observer = new ResizeObserver(() => {
      if (stuck.current && performance.now() < until.current) {
        el.scrollTop = el.scrollHeight;
        top = el.scrollTop;
      } else {
        setAway(el.scrollHeight - el.scrollTop - el.clientHeight >= near);
      }
    });
    observer.observe(inner);
    observer.observe(el);
    el.addEventListener("scroll", onScroll, { passive: true });
    el.addEventListener("wheel", onWheel, { passive: true });
    return () => {
      observer.disconnect();
      el.removeEventListener("scroll", onScroll);
      el.removeEventListener("wheel", onWheel);
    };
  }, [scroller, content, enabled]);

  return { away: away && enabled && growing, jump };
}
