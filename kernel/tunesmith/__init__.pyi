"""The types of the names that `__init__.py` imports on first use; five are at home in libraries above the kernel."""

from tunesmith.errors import DataError as DataError
from tunesmith.errors import TunesmithError as TunesmithError
from tunesmith.hookspecs import hookimpl as hookimpl
from tunesmith.messages import announce as announce
from tunesmith.options import plugin as plugin
from tunesmith.pipeline import export as export
from tunesmith.pipeline import exports as exports
from tunesmith.pipeline import open_model as open_model
from tunesmith.pipeline import plan as plan
from tunesmith.pipeline import train as train
from tunesmith_command_api.server import Server as Server
from tunesmith_command_data.encoded import show as show
from tunesmith_library_engine.sessions import ChatSession as ChatSession
from tunesmith_library_engine.sessions import chat as chat
from tunesmith_library_estimates.estimating import estimate as estimate
from tunesmith_library_evaluating.measuring import evaluate as evaluate
from tunesmith_library_evaluating.measuring import measuring as measuring

__version__: str
