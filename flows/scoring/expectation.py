"""An expectation of Great Expectations: few rows are anomalies to a model of the registry."""

from typing import Any, ClassVar, Union

from great_expectations.compatibility import pydantic
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.suite_parameters import SuiteParameterDict
from great_expectations.execution_engine import PandasExecutionEngine, SparkDFExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.expectations.row_conditions import RowConditionType
from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer
from great_expectations.render.renderer_configuration import RendererValueType

from flows.scoring.finding import Finding, judge_frame, judge_spark

METRIC = "table.dagmm_finding"
AT_MOST = 0.01
SENTENCE = "At most a share of $at_most of the rows may be anomalies to the model $model."


class FindingOfModel(TableMetricProvider):
    """What a model makes of a batch, in pandas and on Spark."""

    metric_name = METRIC
    value_keys = ("model",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls: Any,  # noqa: N805  Great Expectations binds the class
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> Finding:
        return judge_frame(_rows(execution_engine, metric_domain_kwargs), **metric_value_kwargs)

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls: Any,  # noqa: N805
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> Finding:
        return judge_spark(_rows(execution_engine, metric_domain_kwargs), **metric_value_kwargs)


def _rows(engine: Any, domain: dict[str, Any]) -> Any:
    return engine.get_compute_domain(domain_kwargs=domain, domain_type=MetricDomainTypes.TABLE)[0]


class ExpectRowsToBeNormal(BatchExpectation):
    """Expect at most a share of the rows to be no normal rows to a registered model.

    A row is not normal when its energy is above the model's threshold, or when the model cannot
    take it (a gap, a text for a number). The model is loaded as `dagmm score` loads it: its files
    are compared with the seal of the registration, and none of its code runs.

    Attributes:
        model: `NAME`, `NAME@alias` or `NAME/VERSION`; the registry is that of the environment
            (`MLFLOW_TRACKING_URI`, or the home in `DAGMM_HOME`).
        at_most: Share of the rows, 0 to 1; a threshold that was set for a false-alarm rate calls
            that share of normal rows anomalies, so it should be above that rate.

    Both may be parameters of a suite, `{"$PARAMETER": "name"}`.
    """

    model: Union[pydantic.constr(min_length=1), SuiteParameterDict] = pydantic.Field(  # noqa: UP007
        description="NAME, NAME@alias or NAME/VERSION"
    )
    at_most: Union[pydantic.confloat(ge=0, le=1), SuiteParameterDict] = pydantic.Field(  # noqa: UP007
        AT_MOST, description="Share of the rows"
    )
    row_condition: RowConditionType = None
    condition_parser: Union[str, None] = None  # noqa: UP007  read by pydantic's first version

    @pydantic.validator("model", "at_most")
    def _is_given(cls, value: Any) -> Any:  # noqa: N805
        """A dictionary, which pydantic makes of an empty text as well, names a parameter."""
        if isinstance(value, dict) and "$PARAMETER" not in value:
            raise ValueError('give a value, or {"$PARAMETER": "name"}')
        return value

    metric_dependencies: ClassVar[tuple[str, ...]] = (METRIC,)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id", "row_condition", "condition_parser")
    success_keys: ClassVar[tuple[str, ...]] = ("model", "at_most")
    args_keys: ClassVar[tuple[str, ...]] = ("model", "at_most")

    @classmethod
    def _prescriptive_template(cls, renderer_configuration: Any) -> Any:
        """The sentence where pages are made of the results themselves."""
        shown = _shown(renderer_configuration.kwargs)
        for name, kind in (("model", "STRING"), ("at_most", "NUMBER")):
            kind = RendererValueType[kind]
            renderer_configuration.add_param(name=name, param_type=kind, value=shown[name])
        renderer_configuration.template_str = SENTENCE
        return renderer_configuration

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls,
        configuration: Any = None,
        result: Any = None,
        runtime_configuration: dict[str, Any] | None = None,
        **_: Any,
    ) -> list[RenderedStringTemplateContent]:
        """The sentence in Data Docs."""
        kept = configuration or result.expectation_config
        styling = (runtime_configuration or {}).get("styling")
        template = {"template": SENTENCE, "params": _shown(kept.kwargs), "styling": styling}
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template", string_template=template
            )
        ]

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        """The verdict, in the words of Great Expectations; no rows are no anomalies."""
        finding: Finding = metrics[METRIC]
        unexpected = finding.anomalies + finding.unscored
        share = unexpected / finding.rows if finding.rows else 0.0
        return {
            "success": share <= self.at_most,
            "result": {
                "observed_value": share,
                "element_count": finding.rows,
                "unexpected_count": unexpected,
                "unexpected_percent": 100 * share,
                "partial_unexpected_list": finding.worst,
                "details": {
                    "model": finding.model,
                    "threshold": finding.threshold,
                    "anomalies": finding.anomalies,
                    "not_scored": finding.unscored,
                    "causes": dict(finding.causes.most_common()),
                },
            },
        }


def _shown(kwargs: dict[str, Any]) -> dict[str, Any]:
    """What the sentence names; a limit that is the default is in no kept expectation."""
    return {"model": kwargs.get("model"), "at_most": kwargs.get("at_most", AT_MOST)}
