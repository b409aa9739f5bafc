// Runs before the first paint, so that the page never flashes in the wrong theme.
(function () {
  var stored = null;
  try {
    stored = localStorage.getItem("om.theme");
  } catch (e) {
    // Storage may be blocked; the system's choice holds then.
  }
  var dark = stored === "dark" || (stored !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
  var meta = document.querySelector('meta[name="theme-color"]');
  if (meta) meta.setAttribute("content", dark ? "#131518" : "#f7f6f3");
})();
