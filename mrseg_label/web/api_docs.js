"use strict";
SwaggerUIBundle({
  dom_id: "#api",
  url: document.getElementById("api").dataset.openapi,
  validatorUrl: null, // an online service, which would be sent the address of this server
  deepLinking: true,
  docExpansion: "list",
  persistAuthorization: false,
});
