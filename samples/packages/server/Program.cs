using System.Text.Json;
using ModelPack;
using ModelPack.Runtime;
using ModelPack.Runtime.Generation;
using ServerSample;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
string path = builder.Configuration["Model"] ?? Path.Combine(AppContext.BaseDirectory, "tinyllama.mpack");
int slots = builder.Configuration.GetValue("Slots", Environment.ProcessorCount);
builder.Services.AddSingleton(_ => new Engine(Path.GetFileNameWithoutExtension(path), TextGenerator.Open(path, new ModelSessionOptions { Threads = 1 }), slots));
builder.Services.ConfigureHttpJsonOptions(o => o.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower);
WebApplication app = builder.Build();
Engine engine = app.Services.GetRequiredService<Engine>(); // Opened before the first request, not by it.

app.MapGet("/health", () => "Healthy");
app.MapGet("/slots", () => new { Total = slots, Free = engine.FreeSlots });
app.MapGet("/v1/models", () => new { Object = "list", Data = new[] { new { Id = engine.Name, Object = "model", OwnedBy = "modelpack" } } });

app.MapPost("/v1/completions", (CompletionRequest request, HttpContext context) => Answer.Of(context, request, "text_completion", "cmpl", async (options, onText, cancellation) =>
    await engine.RunAsync(generator => generator.Generate(request.PromptText(), options, onText, cancellation), cancellation)));

app.MapPost("/v1/chat/completions", (CompletionRequest request, HttpContext context) => Answer.Of(context, request, "chat.completion", "chatcmpl", async (options, onText, cancellation) =>
    await engine.RunAsync(generator => generator.Chat(request.ChatMessages(), options, onText, cancellation), cancellation)));

app.Run();
