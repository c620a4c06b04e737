using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Layers.</summary>
internal sealed partial class DecomposePass
{
    /// <summary>A weight that is to be decomposed.</summary>
    /// <param name="Tensor">The weight.</param>
    /// <param name="Usage">How the graph uses it.</param>
    /// <param name="Stored">Type of its values.</param>
    /// <param name="Shape">What it may become.</param>
    /// <param name="Ranks">Those it may have; none: it stays as it is.</param>
    /// <param name="IsDecided">True when its options say its rank, not the budget.</param>
    /// <param name="Chosen">Its options.</param>
    private sealed record Layer(Tensor Tensor, WeightUsage Usage, DType Stored, RankShape Shape, int[] Ranks, bool IsDecided, PassOptions Chosen)
    {
        /// <summary>Layers whose rows come after those of this one, and which share its factor on the side of the input.</summary>
        public Layer[] Below { get; init; } = [];

        /// <summary>This layer and those below.</summary>
        public IEnumerable<Layer> All => Below.Prepend(this);

        /// <summary>Rows without those of layers below.</summary>
        private int OwnRows => Shape.Rows - Below.Sum(l => l.Shape.Rows);

        /// <summary>True when what the factors leave is kept as well.</summary>
        public bool HasResidual => !Shape.IsConvolution && Chosen.Text("residual").Length > 0;

        public double Damping => Chosen.Integer("damping_permille") / 1000.0;

        /// <summary>False when it stays as it is.</summary>
        public bool IsFree => Ranks.Length > 0;

        /// <summary>Parameters at a rank; 0 for all.</summary>
        public long Parameters(int rank) => rank == 0 ? Shape.Dense : Shape.Parameters(rank);

        public Decomposer Decomposer(PassContext context, bool healed) => new(Shape, Stored, healed ? (int)Chosen.Integer("healing_rounds") : 0, context) { Balances = !IsDecided };

        /// <summary>The weight in its new form.</summary>
        public DecomposedWeight Run(float[] weights, InputMoments moments, Whitening whitening, int rank, bool healed, PassContext context)
        {
            Decomposer decomposer = Decomposer(context, healed);
            string residual = Shape.IsConvolution ? "" : Chosen.Text("residual");
            return residual.Length == 0 ? decomposer.Run(weights, moments, whitening, rank)
                : decomposer.Residual(weights, moments, whitening, rank, residual == "sparse" ? null : UnitSpec.Parse(residual), Chosen.Integer("residual_permille") / 1000.0);
        }

        /// <summary>The matrix [N, K]; null, and a warning, when values are no numbers.</summary>
        public float[]? Read(PassContext context)
        {
            float[] weights = new float[checked(Shape.Rows * Shape.Columns)];
            int at = 0;
            foreach (Layer layer in All)
            {
                IValueReader reader = context.OpenValues(WeightMatrix.Of(layer.Tensor, layer.Usage.Layout));
                Span<float> own = weights.AsSpan(at, checked(layer.OwnRows * Shape.Columns));
                reader.ReadRows(0, layer.OwnRows, own);
                int bad = own.IndexOfAnyExceptInRange(float.MinValue, float.MaxValue);
                if (bad >= 0)
                {
                    context.Report(DiagnosticSeverity.Warning, string.Create(CultureInfo.InvariantCulture, $"not decomposed: element {bad} is {own[bad]}"), layer.Tensor.Name);
                    return null;
                }

                at += own.Length;
            }

            return weights;
        }

        /// <summary>Adds the tensors in their new form.</summary>
        public void Store(DecomposedWeight weight, int rank, Dictionary<string, Tensor> made, PassContext context)
        {
            context.Measure("rank", rank, Tensor.Name);
            context.Measure("parameters_share", (double)Shape.Parameters(rank) / Shape.Dense, Tensor.Name);
            context.Measure("multiplications_share", (double)Shape.Multiplications(rank) / Shape.Dense, Tensor.Name);
            context.Measure("output_loss", weight.Loss, Tensor.Name);
            if (Below.Length == 0)
            {
                made[Tensor.Name] = Wrap(weight.Encoding);
                return;
            }

            var stacked = (StructuredEncoding)weight.Encoding;
            int first = 0;
            foreach (Layer layer in All)
            {
                float[] rows = new float[checked(layer.OwnRows * rank)];
                context.OpenValues(stacked.Components[0]).ReadRows(first, layer.OwnRows, rows);
                WeightEncoding left = Passes.Decomposer.Raw(rows, Stored, new Shape(layer.OwnRows, rank), context);
                made[layer.Tensor.Name] = layer.Wrap(new StructuredEncoding(stacked.Structure, new Shape(layer.OwnRows, Shape.Columns), [left, stacked.Components[1]]));
                first += layer.OwnRows;
            }
        }

        /// <summary>Adds the tensors with other values.</summary>
        public void Store(float[] weights, Dictionary<string, Tensor> made, PassContext context)
        {
            int first = 0;
            foreach (Layer layer in All)
            {
                float[] rows = weights[(first * Shape.Columns)..((first + layer.OwnRows) * Shape.Columns)];
                made[layer.Tensor.Name] = layer.Wrap(Passes.Decomposer.Raw(rows, Stored, new Shape(layer.OwnRows, Shape.Columns), context));
                first += layer.OwnRows;
            }
        }

        /// <summary>The tensor with another matrix.</summary>
        private Tensor Wrap(WeightEncoding matrix) => Tensor with { Encoding = WeightMatrix.Wrap(Tensor, Usage.Layout, matrix) };
    }
}
