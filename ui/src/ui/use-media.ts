import { useCallback, useSyncExternalStore } from "react";

export function useMedia(media: string): boolean {
  const subscribe = useCallback(
    (changed: () => void) => {
      const list = matchMedia(media);
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    [media],
  );
  return useSyncExternalStore(subscribe, () => matchMedia(media).matches);
}
