using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>The number formats that a recipe speaks of.</summary>
public static class RecipeFormats
{
    /// <summary>Formats that the recipe defines, under their names, then those its passes and rules use, each once. Scales of type <c>auto</c> are given as f16.</summary>
    /// <exception cref="ModelPackException">As <see cref="Recipe.Resolve"/>.</exception>
    public static IReadOnlyList<(string Name, UnitSpec Spec)> Of(Recipe recipe)
    {
        ResolvedRecipe resolved = recipe.Resolve(PassCatalog.All);
        var formats = new List<(string Name, UnitSpec Spec)>();
        formats.AddRange(resolved.Formats.Select(f => (f.Key, f.Value)));
        foreach ((IPassFactory factory, PassOptions options) in resolved.Steps.Where(s => s.Factory.Name == "quantize"))
        {
            Add(options, options.Text("format"));
            foreach (string policy in new[] { options.Text("ends"), options.Text("convolutions") }.Where(p => p is not ("same" or "keep")))
            {
                Add(options, policy);
            }

            foreach (TensorRule rule in resolved.RulesFor(factory).Rules.Where(r => !r.Skip))
            {
                PassOptions changed = options.With(rule.Options);
                Add(changed, changed.Text("format"));
            }
        }

        return formats;

        void Add(PassOptions options, string text)
        {
            UnitSpec spec = QuantizeFormat.Of(text, options);
            spec = spec.Text("scale", "") == "auto" ? spec.With("scale", "f16") : spec;
            if (!formats.Exists(f => f.Spec == spec))
            {
                formats.Add((spec.ToString(), spec));
            }
        }
    }
}
