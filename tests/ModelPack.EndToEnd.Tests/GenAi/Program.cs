using Microsoft.ML.OnnxRuntimeGenAI;

// ONNX Runtime GenAI: loads a folder, continues texts greedily, first each alone and then all in one batch, and prints the ids of every sequence with its prompt; then the text of the first.
//   GenAi folder length text...
string[] texts = args[2..];
using var model = new Model(args[0]);
using var tokenizer = new Tokenizer(model);

foreach (string text in texts)
{
    using Sequences prompt = tokenizer.Encode(text);
    Console.WriteLine(Generate(prompt, 1)[0]);
}

using Sequences all = tokenizer.EncodeBatch(texts);
string[] batch = Generate(all, texts.Length);
Console.WriteLine(string.Join('\n', batch));
Console.WriteLine(tokenizer.Decode([.. batch[0].Split(' ').Select(int.Parse)]).ReplaceLineEndings(" "));

string[] Generate(Sequences prompts, int count)
{
    using var options = new GeneratorParams(model);
    options.SetSearchOption("max_length", int.Parse(args[1]));
    options.SetSearchOption("batch_size", count);
    using var generator = new Generator(model, options);
    generator.AppendTokenSequences(prompts);
    while (!generator.IsDone())
    {
        generator.GenerateNextToken();
    }

    return [.. Enumerable.Range(0, count).Select(i => string.Join(' ', generator.GetSequence((ulong)i).ToArray()))];
}
