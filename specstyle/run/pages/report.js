const data = JSON.parse(document.getElementById("data").textContent);
for (const panel of data.panels) panel.first = panel.title === "result";
showMedia(document.getElementById("media"), data.medium, data.panels);
if (data.losses.length) showLosses(document.getElementById("losses"))(data.losses);
