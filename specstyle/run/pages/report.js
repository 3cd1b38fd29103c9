const data = JSON.parse(document.getElementById("data").textContent);
showMedia(document.getElementById("media"), data.medium, data.panels);
if (data.losses.length) showLosses(document.getElementById("losses"))(data.losses);
