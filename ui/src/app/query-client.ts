import { QueryClient } from "@tanstack/react-query";
import { Problem } from "../api/client";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) => failures < 2 && error instanceof Problem && (error.status === 0 || error.status >= 502),
    },
  },
});
