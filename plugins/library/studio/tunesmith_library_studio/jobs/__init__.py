"""Jobs: commands that run as processes of their own, wait for their devices, and outlive who started them."""

from tunesmith_library_studio.jobs.commands import refuse_outside as refuse_outside
from tunesmith_library_studio.jobs.job import Job as Job
from tunesmith_library_studio.jobs.jobs import Jobs as Jobs
from tunesmith_library_studio.jobs.jobs import NoSuchJob as NoSuchJob
