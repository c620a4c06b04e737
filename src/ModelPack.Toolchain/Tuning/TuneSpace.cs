using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>What there is to choose from: the tensors that <c>quantize</c> would encode, with every candidate applied.</summary>
internal sealed class TuneSpace
{
    private TuneSpace(Model model, IReadOnlyList<string> candidates, IReadOnlyList<TunableTensor> tensors)
    {
        Model = model;
        Candidates = candidates;
        Tensors = tensors;
        Kinds = TensorKinds.Classify(model);
    }

    /// <summary>The model before anything is encoded.</summary>
    public Model Model { get; }

    /// <summary>Number formats.</summary>
    public IReadOnlyList<string> Candidates { get; }

    /// <summary>In the order of the graph's initializers.</summary>
    public IReadOnlyList<TunableTensor> Tensors { get; }

    /// <summary>What tensors are for, by name.</summary>
    public IReadOnlyDictionary<string, string> Kinds { get; }

    /// <summary>Elements of all tensors.</summary>
    public long Elements => Tensors.Sum(t => t.Original.Shape.ElementCount);

    /// <summary>Runs the passes of a recipe once for every candidate, encodings pending.</summary>
    /// <param name="imported">The model as it came.</param>
    /// <param name="recipe">The recipe that will carry the choice.</param>
    /// <param name="candidates">Number formats.</param>
    /// <param name="context">Makes contexts for passes that leave encodings pending; true: for those that decompose or prune.</param>
    /// <exception cref="ModelPackException">MP2231: nothing to choose for. MP2245: a candidate is not understood.</exception>
    public static TuneSpace Open(Model imported, Recipe recipe, IReadOnlyList<string> candidates, Func<bool, PassContext> context)
    {
        IReadOnlyList<IPass> passes = recipe.Resolve(PassCatalog.All).CreatePasses();
        Model plain = new PassManager([.. passes.TakeWhile(p => p.Name != "quantize")]).Run(imported, context(false));
        TuneCandidate[] parsed = [.. candidates.Select(TuneCandidate.Parse)];

        // What only number formats would encode is all that others need to look at.
        string[] wanted = parsed.Any(c => c.IsStructured)
            ? [.. new PassManager(passes).Run(imported, context(false)).Graph.Initializers.Where(t => Leaf(t.Encoding) is not null).Select(t => t.Name)] : [];
        var encoded = parsed.Select(c => Encoded(imported, recipe, c, wanted, context)).ToArray();
        var tensors = new List<TunableTensor>();
        foreach (Tensor tensor in plain.Graph.Initializers)
        {
            Tensor?[] forms = [.. encoded.Select(e => e.GetValueOrDefault(tensor.Name))];
            if (forms.Any(f => f is not null))
            {
                tensors.Add(new TunableTensor(tensor, forms));
            }
        }

        return tensors.Count > 0
            ? new TuneSpace(plain, candidates, tensors)
            : throw new ModelPackException(ErrorCodes.NothingToTune, "pass 'quantize' finds no weights to encode in this model");
    }

    /// <summary>The tensors of a choice, by name; those that stay as they are are left out.</summary>
    public Dictionary<string, Tensor> Apply(IReadOnlyList<TuneChoice> choices) => Tensors
        .Select((t, i) => choices[i].Candidate < 0 ? null : t.Forms[choices[i].Candidate])
        .OfType<Tensor>().ToDictionary(t => t.Name, StringComparer.Ordinal);

    /// <summary>Squared error by squared weights of a pending encoding, or of a structure.</summary>
    public static double RelativeSquaredError(Tensor original, Tensor form, CancellationToken cancellation)
    {
        DenseEncoding leaf = Leaf(form.Encoding)!;
        double error = TuneCandidate.IsFactors(form.Encoding) || TuneCandidate.IsSparse(form.Encoding)
            ? TensorDifference.Compare(form.Name, EncodingValues.Open(original.Encoding), EncodingValues.Open(form.Encoding), cancellation).RelativeError ?? 0
            : TensorDifference.Compare(form.Name, EncodingValues.Open(leaf.Source!), EncodingValues.Open(leaf), cancellation).RelativeError ?? 0;
        return error * error;
    }

    /// <summary>The same with some of the candidates only.</summary>
    public TuneSpace Only(Func<string, bool> isWanted)
    {
        int[] kept = [.. Enumerable.Range(0, Candidates.Count).Where(c => isWanted(Candidates[c]))];
        return new TuneSpace(Model, [.. kept.Select(c => Candidates[c])], [.. Tensors.Select(t => t with { Forms = [.. kept.Select(c => t.Forms[c])] })]);
    }

    /// <summary>The tensors that a candidate encodes.</summary>
    private static Dictionary<string, Tensor> Encoded(Model imported, Recipe recipe, TuneCandidate candidate, string[] wanted, Func<bool, PassContext> context)
    {
        if (candidate.IsStructured && wanted.Length == 0)
        {
            return [];
        }

        recipe = recipe.With($"quantize.format={candidate.Format}");
        recipe = candidate.PassName == "sparsify" ? WithSparsity(recipe) : recipe;
        IReadOnlyList<IPass> passes = recipe.Resolve(PassCatalog.All).CreatePasses();
        Model model;
        try
        {
            model = candidate.IsStructured ? Made() : imported;
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.RankBudget)
        {
            return []; // No rank is as small as that: the candidate fits no tensor.
        }

        model = new PassManager(passes).Run(model, context(false));
        Model Made() => new PassManager([.. passes.TakeWhile(p => p.Name != "quantize"), candidate.MakingPass(wanted)]).Run(imported, context(true));
        return model.Graph.Initializers.Where(t => Leaf(t.Encoding) is not null && candidate.Fits(t.Encoding)).ToDictionary(t => t.Name, StringComparer.Ordinal);
    }

    /// <summary>The recipe with a last pass that stores what is left of sparse weights only, whatever their number format.</summary>
    public static Recipe WithSparsity(Recipe recipe) => recipe.Passes.Any(p => p.Pass == "detect-sparsity")
        ? recipe.With("detect-sparsity.quantized=yes")
        : recipe with { Passes = [.. recipe.Passes, new RecipeStep("detect-sparsity", new JsonObject { ["quantized"] = "yes" })] };

    /// <summary>The pending encoding in a tree, if there is one.</summary>
    private static DenseEncoding? Leaf(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding { IsPending: true } dense => dense,
        StructuredEncoding structured => structured.Components.Select(Leaf).FirstOrDefault(l => l is not null),
        _ => null,
    };
}

/// <summary>A tensor and what the candidates make of it.</summary>
/// <param name="Original">As it is.</param>
/// <param name="Forms">Per candidate, pending; null where the candidate does not fit.</param>
internal sealed record TunableTensor(Tensor Original, Tensor?[] Forms)
{
    /// <summary>Bytes as it is.</summary>
    public long OriginalBytes => EncodingSizes.SourceBytes(Original.Encoding);
}
