import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { queryClient } from "./app/query-client";
import { App } from "./app/routes";
import "./styles.css";

// After an update the chunks of the old page may be gone: load the new page, once.
addEventListener("vite:preloadError", (event) => {
  const last = Number(sessionStorage.getItem("om.reloaded") ?? 0);
  if (Date.now() - last < 10_000) return;
  sessionStorage.setItem("om.reloaded", String(Date.now()));
  event.preventDefault();
  location.reload();
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
