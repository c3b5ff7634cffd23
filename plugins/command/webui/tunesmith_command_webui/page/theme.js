// Before anything is drawn: the theme that was chosen, so that no page flashes. A classic script: the browser waits
// for it.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "system";
