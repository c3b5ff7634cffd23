// Before anything is drawn: the theme that was chosen, so that no page flashes. A classic script, which the browser waits for.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "system";
