"""Embeddings and images at Google.

https://ai.google.dev/api/embeddings, https://ai.google.dev/gemini-api/docs/imagen
"""

from functools import partial

from tokligenced.dialects import embeddings_gemini, gemini_errors, images_gemini
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.base import Exchange, Remote
from tokligenced.providers.tasks import Task


class GeminiTasks(Remote):
    """What an account at Google does besides conversations; where paths lead is said by who inherits it."""

    def embed(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for embeddings."""
        body = embeddings_gemini.request_for(call, self.target(model, deployment))
        return Task(
            self.request(":batchEmbedContents", deployment.model, body),
            self.settings,
            read=partial(embeddings_gemini.read_answer, call=call, upstream_model=deployment.model),
            read_error=gemini_errors.read_error,
        )

    def draw(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for images, drawn by Imagen or by one of Gemini's models that draw."""
        target = self.target(model, deployment)
        if images_gemini.is_imagen(deployment.model):
            body = images_gemini.imagen_request(call, target)
            method, read = ":predict", images_gemini.read_predictions
        else:
            body = images_gemini.gemini_request(call, target)
            method, read = ":generateContent", images_gemini.read_generated
        return Task(
            self.request(method, deployment.model, body),
            self.settings,
            read=partial(read, call=call),
            read_error=gemini_errors.read_error,
        )
