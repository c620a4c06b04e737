using System.CommandLine;
using ModelPack.Passes;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack formats</c>.</summary>
internal static class FormatsCommand
{
    public static Command Create(CliHost host)
    {
        var specs = new Argument<string[]>("format") { HelpName = "format", Description = "Number formats with arguments; none lists everything", Arity = ArgumentArity.ZeroOrMore };
        var sparsity = new Option<string[]>("--sparsity")
        {
            Description = "Combine each format with sparsity, comma-separated: 90% of the least weights, 2:4 neighbours, blocks:50% of 32 x 32 blocks, or all of the usual ones",
            HelpName = "pattern,...",
        };
        var recipe = new Option<string?>("--recipe", "-r") { Description = $"List the formats of a recipe ({string.Join(", ", RecipeCatalog.Names)}, or a file), those it defines too", HelpName = "name|file.json" };
        var schema = new Option<bool>("--recipe-schema") { Description = "Print the JSON schema of recipe files instead: editors complete and check a recipe that names it as \"$schema\"" };
        specs.CompletionSources.Add(static _ => Catalogue.NumberFormatNames);
        recipe.CompletionSources.Add([.. RecipeCatalog.Names]);
        var command = new Command("formats", "List number formats, structures and codecs with bits per weight, error and capacity") { specs, sparsity, recipe, schema };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            if (session.Get(schema))
            {
                session.Stream(Catalogue.RecipeSchema);
                return ExitCodes.Done;
            }

            var request = new FormatsRequest
            {
                Specs = session.Get(specs) ?? [],
                Sparsity = [.. (session.Get(sparsity) ?? []).SelectMany(s => s.Split(',', StringSplitOptions.TrimEntries))],
                Recipe = session.Get(recipe),
            };
            Check(request);
            FormatsResult result = Catalogue.Formats(request, session.Cancellation);
            session.Show(result, JsonOutput.Types.FormatsResult, console => Write(console, result));
            return ExitCodes.Done;
        }));
        return command;
    }

    /// <summary>What was typed wrongly is an error of the command line; what a recipe file says is not.</summary>
    private static void Check(FormatsRequest request)
    {
        foreach (string spec in request.Specs)
        {
            try
            {
                _ = Catalogue.ParseFormat(spec);
            }
            catch (ModelPackException e) when (e.Code == ErrorCodes.UnknownUnit)
            {
                string? near = Suggestions.Nearest(spec.Split('(')[0], Catalogue.NumberFormatNames);
                throw new UsageException($"{e.Message}{(near is null ? "" : $"; did you mean '{near}'?")}");
            }
            catch (ModelPackException e) when (e.Code == ErrorCodes.BadUnitArgument)
            {
                throw new UsageException(e.Message);
            }
        }

        if (request.Sparsity.FirstOrDefault(s => !Catalogue.IsSparsity(s)) is string wrong)
        {
            throw new UsageException($"--sparsity '{wrong}' is not a pattern such as 90%, 2:4, blocks:50% or all");
        }
    }

    private static void Write(IAnsiConsole console, FormatsResult result)
    {
        var table = new TextTable("name", "kind", ">bits/weight", ">MSE on N(0,1)", ">eff. bits", ">capacity", ">cap./byte", "what it is");
        foreach (FormatRow row in result.Formats)
        {
            table.Add(
                row.Name,
                row.Kind,
                Words.Fixed(row.BitsPerWeight, 3),
                Words.Number(row.GaussianMse),
                Words.Fixed(row.EffectiveBits, 2),
                Words.Fixed(row.Capacity, 3),
                Words.Fixed(row.CapacityPerByte, 3),
                row.Summary);
        }

        table.WriteTo(console);
        console.WriteLine();
        console.WriteLine("capacity: tanh(0.41 log1/4 MSE)^1.39, products for combinations (arXiv 2506.01863): a ranking prior, not a promise about a model");
    }
}
