// Airflow shows this page in a frame. Its theme is the one chosen in Airflow, and a link to one of Airflow's own pages
// opens in place of the page around the frame, which a frame may not do itself.
const follow = () => {
  const theme = localStorage.getItem("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
};
follow();
addEventListener("storage", follow);
addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_top]");
  if (!link || window === window.parent || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const outside = window.parent.document.createElement("a");
  outside.href = link.href;
  outside.click();
});
